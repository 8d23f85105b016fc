"""backends.py - the backends that are to be had here, by asking the tool."""
import os
import subprocess


def backends(stoa):
    """A kernel may be without io_uring, or refuse it (most containers do): a comment says so."""
    reads, writes = os.pipe()
    server = subprocess.Popen(
        [stoa, 'serve', 'upper', '127.0.0.1:0', '--quiet', '--backend', 'uring', '--ready-fd',
         str(writes)], pass_fds=[writes], stderr=subprocess.PIPE, text=True)
    os.close(writes)
    with open(reads, encoding='ascii') as file:
        is_there = bool(file.read())
    server.terminate()
    said = server.communicate()[1]
    if is_there:
        return ['epoll', 'uring']
    assert 'io_uring is not available here' in said, said
    print('# without uring: ' + said.strip())
    return ['epoll']
