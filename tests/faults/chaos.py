"""chaos.py - clients of all kinds at once, polite and not, for some seconds: row 38."""
import concurrent.futures
import random
import socket
import time

from client import ask, noise, receive, reset, talk

CLIENTS = 16


def polite(server, r):
    line = noise(r.randrange(2, 300), r.random())
    with server.dial() as s:
        return sum(ask(s, line) != server.expect(line) for _ in range(r.randrange(1, 9)))


def long(server, r):
    data = noise(r.randrange(1000, 300_000), r.random())
    with server.dial(tiny=r.random() < 0.3) as s:
        return talk(s, data, server.expect(data), lambda: r.randrange(1, 60_000),
                    half_close=r.random() < 0.5, silence=2 * server.patience) > 0


def resets(server, r):
    s = server.dial()
    s.sendall(noise(r.randrange(2, 5000), 1))
    reset(s)
    return 0


def leaves(server, r):
    with server.dial() as s:
        s.sendall(noise(r.randrange(2, 60_000), 2))
        s.recv(1)
    return 0


def silent(server, r):
    with server.dial():
        time.sleep(r.random() / 5)
    return 0


def drips(server, r):
    with server.dial() as s:
        for byte in b'slowly':
            s.send(bytes([byte]))
            time.sleep(r.random() / 100)
        return receive(s, 6) != server.expect(b'slowly')


def last_words(server, _):
    with server.dial() as s:
        s.sendall(b'last words')
        s.shutdown(socket.SHUT_WR)
        return receive(s, 11) != server.expect(b'last words')


KINDS = (polite, polite, polite, long, resets, leaves, silent, drips, last_words)


def chaos(server, seconds):
    """How many visits there were, and of how many the answer was wrong or did not come."""
    until = time.monotonic() + seconds

    def client(seed):
        r, visits, wrongs = random.Random(seed), 0, 0
        while time.monotonic() < until:
            try:
                wrong = bool(r.choice(KINDS)(server, r))
            except OSError:
                wrong = True
            visits += 1
            wrongs += wrong
        return visits, wrongs
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        counts = list(clients.map(client, range(CLIENTS)))
    return sum(c[0] for c in counts), sum(c[1] for c in counts)
