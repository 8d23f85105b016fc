"""row.py - what a row of the fault table is, and what it is given.

A row is a small function in rows_*.py.  It gets a Place, in which it starts the server under test
as often and as limited as it needs, and returns (good, figure); or raises Skip with a word.
"""
import dataclasses
import os
import typing

from server import Server, free_port


class Skip(Exception):
    """This row cannot be had here; the word says why."""


@dataclasses.dataclass
class Row:
    number: str
    name: str
    goal: str
    run: typing.Callable
    alone: bool  # needs a network of its own
    patience: int  # seconds for all of it


ROWS = {}


def row(number, name, goal, alone=False, patience=100):
    def keep(function):
        ROWS[str(number)] = Row(str(number), name, goal, function, alone, patience)
        return function
    return keep


@dataclasses.dataclass
class Place:
    """Where a row runs: which server, how thoroughly, and whether the network is ours."""
    command: str
    folder: str  # for this row's files
    quick: bool = False
    alone: bool = False
    seconds: float = 10
    requests: int = 0  # for the stop of row 13; 0: as many as it asks by itself
    behind: str = ''  # the server behind a proxy
    stop_signal: str = 'TERM'
    reload_signal: str = ''  # asks for a new program, or a new configuration; '': none does
    strict: str = ''  # for {strict}, where slow clients are to be cut
    udp: str = ''
    unix: str = ''
    client: str = ''
    servers: list = dataclasses.field(default_factory=list)

    def few(self, quick, full):
        return quick if self.quick else full

    def words(self):
        """The server's port, and what stands for the words in braces."""
        port = 4000 if self.alone else free_port()
        return {'port': port, 'dir': self.folder, 'path': os.path.join(self.folder, 'socket'),
                'reload': '', 'strict': ''}

    def start(self, words=(), **how):
        """The server under test; what stands behind it is started first, and not measured."""
        words = {**self.words(), **dict(words)}
        if '{backend}' in self.command:
            words['backend'] = 4001 if self.alone else free_port()
            back = Server(self.behind, {**words, 'port': words['backend']})
            self.servers.append(back)
            back.begin()
        return self.begin(self.command, words, **how)

    def begin(self, command, words, ready=True, **how):
        server = Server(command, words, **how)
        self.servers.append(server)
        return server.begin(ready)

    def end(self):
        for server in self.servers:
            server.kill()
        self.servers.clear()
