#!/usr/bin/env python3
"""refuse.py COMMAND... - run it where there is no io_uring for it, as in most containers.

As a module: refuse_*() has the kernel refuse a system call to this process from now on, and to
all that it starts (seccomp(2)).  NUMBERS says on which machines that is known.
"""
import ctypes
import errno
import os
import platform
import socket
import struct
import sys

NUMBERS = {'x86_64': {'socket': 41, 'io_uring_setup': 425},
           'aarch64': {'socket': 198, 'io_uring_setup': 425}}

LOAD, IS, RETURN = 0x20, 0x15, 0x06  # instructions of bpf(4), with a word of struct seccomp_data
CALL, FIRST_ARGUMENT = 0, 16         # places in it
ALLOW, REFUSE = 0x7fff0000, 0x00050000


def install(*code):
    """The filter of these instructions: (operation, how far on if so, and if not, operand)."""
    room = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *i) for i in code))
    program = struct.pack('HxxxxxxP', len(code), ctypes.addressof(room))
    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_NO_NEW_PRIVS; PR_SET_SECCOMP to SECCOMP_MODE_FILTER
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), 'no seccomp')


def number(call):
    return NUMBERS[platform.machine()][call]


def refuse_io_uring():
    install((LOAD, 0, 0, CALL), (IS, 0, 1, number('io_uring_setup')),
            (RETURN, 0, 0, REFUSE | errno.EPERM), (RETURN, 0, 0, ALLOW))


def refuse_netlink():
    """There is no socket of that family."""
    install((LOAD, 0, 0, CALL), (IS, 0, 3, number('socket')),
            (LOAD, 0, 0, FIRST_ARGUMENT), (IS, 0, 1, socket.AF_NETLINK),
            (RETURN, 0, 0, REFUSE | errno.EAFNOSUPPORT), (RETURN, 0, 0, ALLOW))


if __name__ == '__main__':
    refuse_io_uring()
    os.execvp(sys.argv[1], sys.argv[1:])
