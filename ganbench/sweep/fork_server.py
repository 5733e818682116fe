"""A process that has imported what every run needs, and forks a sweep's workers.

`python -m ganbench.sweep.fork_server '{"cores": [0]}'`, with a Unix socket as stdin. A message on
it is `{"number": 0, "settings": ...}` with three files: the worker's stdin, its stdout, and where
its exit code is written when it has ended. Or it is `{"kill": 0}`. The socket's end is this
process's.
It sends one message itself, when the imports are done.

It computes nothing and loads no plugin, so that there are no threads and no devices that a fork
would lose; and it is pinned to as many cores as a worker, because libraries count them on import.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import warnings
from dataclasses import dataclass

from ganbench.sweep import worker
from ganbench.sweep.pages import map_pages, pages_of_files

__all__ = ["main"]


def main(argv: list[str]) -> None:
    os.sched_setaffinity(0, json.loads(argv[0])["cores"])
    requests = socket.socket(fileno=os.dup(0))
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    import numpy as np
    import torch._dynamo  # noqa: F401 - by the first optimizer, if not now

    import ganbench.execution  # noqa: F401

    pages = pages_of_files()
    gc.collect()
    gc.freeze()  # so that no collection writes to what is shared with the workers
    with contextlib.suppress(OSError):  # the sweep may have gone meanwhile
        requests.send(b"ready")
    settings = _serve(requests)
    if settings is not None:
        map_pages(pages)
        np.random.seed()  # of its own, as that of a process which was started
        worker.main([settings])


@dataclass(frozen=True, slots=True)
class _Child:
    number: int
    tell: int


def _serve(requests: socket.socket) -> str | None:
    """Fork when asked to. In a worker it returns the worker's settings; here None, at the end."""
    ended, wake = os.pipe()
    for end in (ended, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: dict[int, _Child] = {}
    asked = requests.fileno()
    while True:
        ready, _, _ = select.select([asked, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            _tell_ends(children)
        if asked not in ready:
            continue
        message, files = b"", list[int]()
        with contextlib.suppress(ConnectionResetError):  # it ends so where "ready" was never read
            message, files, *_ = socket.recv_fds(requests, 1 << 16, 3)
        if not message:
            return None
        request = json.loads(message)
        if "kill" in request:
            for pid, child in children.items():  # none is another's number before it is reaped
                if child.number == request["kill"]:
                    os.kill(pid, signal.SIGKILL)
            continue
        stdin, stdout, tell = files
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()  # Ctrl-C on the terminal is the sweep's to answer
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            for file in (*files, ended, wake, *(child.tell for child in children.values())):
                os.close(file)
            requests.close()
            return str(request["settings"])
        children[pid] = _Child(request["number"], tell)
        os.close(stdin)
        os.close(stdout)


def _tell_ends(children: dict[int, _Child]) -> None:
    for pid in list(children):
        dead, status = os.waitpid(pid, os.WNOHANG)
        if dead:
            tell = children.pop(pid).tell
            with contextlib.suppress(OSError):  # nobody may listen any more
                os.write(tell, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(tell)


if __name__ == "__main__":
    main(sys.argv[1:])
