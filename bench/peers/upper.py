#!/usr/bin/env python3
"""upper.py - the upper-casing server on asyncio's streams.

Idiomatic: asyncio.start_server() and a coroutine for each connection, as the manual's echo
server.  asyncio sets TCP_NODELAY by itself.  Back-pressure is drain(), which waits.

usage: upper.py PORT
"""
import asyncio
import sys


async def serve(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data.upper())
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(sys.argv[1]), backlog=4096)
    async with server:
        await server.serve_forever()


asyncio.run(main())
