// upper.go - the upper-casing server in Go: a goroutine for each connection.
//
// Idiomatic: net.Listen, Accept, and a goroutine whose Read and Write block in a straight line.
// The package sets TCP_NODELAY by itself.  bytes.ToUpper would take bytes beyond ASCII for
// UTF-8, so letters are raised in a loop.  Back-pressure is Write, which blocks.
//
// usage: upper.go PORT
package main

import (
	"fmt"
	"net"
	"os"
)

func serve(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buffer)
		for i, c := range buffer[:n] {
			if 'a' <= c && c <= 'z' {
				buffer[i] = c - 'a' + 'A'
			}
		}
		if n > 0 {
			if _, err := conn.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: upper.go PORT")
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		if conn, err := listener.Accept(); err == nil {
			go serve(conn)
		}
	}
}
