// upper.mjs - the upper-casing server in Node.
//
// Idiomatic: the manual's net server pipes a connection into itself; between the two ends
// stands a stream.Transform, and stream.pipeline() looks after errors and back-pressure.
// A string's toUpperCase() would change bytes beyond ASCII, so letters are raised in a loop.
//
// usage: node upper.mjs PORT
import { createServer } from 'node:net';
import { Transform, pipeline } from 'node:stream';

function upper(bytes) {
    for (let i = 0; i < bytes.length; i++)
        if (bytes[i] >= 0x61 && bytes[i] <= 0x7a)
            bytes[i] -= 0x20;
    return bytes;
}

const server = createServer({ noDelay: true }, (socket) => {
    const raise = new Transform({
        transform(bytes, encoding, done) {
            done(null, upper(bytes));
        },
    });
    pipeline(socket, raise, socket, () => {});
});

server.on('error', (error) => {
    console.error(error.message);
    process.exit(1);
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
