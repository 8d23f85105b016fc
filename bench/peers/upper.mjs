// upper.mjs - the upper-casing server in Node.
//
// Idiomatic: a listener for 'data' that writes the answer.  Back-pressure as the manual's page on
// streams has it: pause when write() says that its buffer is full, resume at 'drain'.  (A
// stream.Transform between two ends of a pipeline() looks after that by itself, and costs a
// short connection twice the processor time.)  A string's toUpperCase() would change bytes
// beyond ASCII, so letters are raised in a loop.
//
// usage: node upper.mjs PORT
import { createServer } from 'node:net';

function upper(bytes) {
    for (let i = 0; i < bytes.length; i++)
        if (bytes[i] >= 0x61 && bytes[i] <= 0x7a)
            bytes[i] -= 0x20;
    return bytes;
}

const server = createServer({ noDelay: true }, (socket) => {
    socket.on('data', (bytes) => {
        if (!socket.write(upper(bytes)))
            socket.pause();
    });
    socket.on('drain', () => socket.resume());
    socket.on('error', () => socket.destroy());
});

server.on('error', (error) => {
    console.error(error.message);
    process.exit(1);
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
