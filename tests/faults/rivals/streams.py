#!/usr/bin/env python3
"""streams.py PORT - the streams of Python's own manual, upper-casing."""
import asyncio
import sys


async def visit(reader, writer):
    while data := await reader.read(65536):
        writer.write(data.upper())
        await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(visit, '127.0.0.1', int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
