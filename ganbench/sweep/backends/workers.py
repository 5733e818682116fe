"""The processes that a sweep on this machine has for its runs.

They are forked, in a tenth of a second, from one that has imported what they need: on Linux, for
runs on CPUs. Elsewhere each is started and takes seconds to import it all: a fork would not survive
CUDA's being used, nor OpenMP's having settled on import where to pin threads, as some environments
tell it to.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO, Protocol

from ganbench.load import SHARED_DEVICE
from ganbench.sweep.pages import can_be_mapped

__all__ = ["ForkServer", "Place", "Worker", "how_it_ended", "start"]

_PINNED_BY = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs: the cores it is pinned to, none for no pinning; its GPU, by its number
    among those that this process sees; and whether another worker has the same one."""

    cores: tuple[int, ...]
    gpu: int | None = None
    shares_gpu: bool = False

    @property
    def settings(self) -> str:
        """What a worker is told."""
        return json.dumps({"cores": self.cores})


class Worker(Protocol):
    """A process for many runs: a job a line on `stdin`, their ends on `stdout`."""

    @property
    def stdin(self) -> IO[str] | None: ...

    @property
    def stdout(self) -> IO[str] | None: ...

    def kill(self) -> None: ...

    def wait(self) -> int | None:
        """Its exit code, or the signal's number below zero. None if nobody is left who saw it."""


def start(place: Place) -> subprocess.Popen[str]:
    """A worker that imports everything itself."""
    env: dict[str, str] = dict(os.environ)
    if place.gpu is not None:
        visible = env.get("CUDA_VISIBLE_DEVICES", "")
        seen = [name.strip() for name in visible.split(",")] if visible else None
        env["CUDA_VISIBLE_DEVICES"] = seen[place.gpu] if seen else str(place.gpu)
    if place.shares_gpu:
        env[SHARED_DEVICE] = "1"
    return subprocess.Popen(
        [sys.executable, "-m", "ganbench.sweep.worker", place.settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        text=True,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C on the terminal is the sweep's to answer
    )


class ForkServer:
    """A process that forks workers, for places that have as many cores each."""

    def __init__(self, place: Place) -> None:
        self._numbers = itertools.count()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ganbench.sweep.fork_server", place.settings],
                stdin=theirs.fileno(),
                start_new_session=True,
            )

    @staticmethod
    def can_fork(place: Place) -> bool:
        """Whether a worker that is forked for this place is like one that is started."""
        return (
            sys.platform == "linux"
            and place.gpu is None
            and bool(place.cores)
            and not any(name in os.environ for name in _PINNED_BY)
            and can_be_mapped()
        )

    def fork(self, place: Place) -> Worker:
        """A worker, as soon as the imports are done. Raises `OSError` if there is nobody to fork
        it any more."""
        job, stdin = os.pipe()
        stdout, answer = os.pipe()
        told, code = os.pipe()
        mine = (os.fdopen(stdin, "w", encoding="utf-8"), os.fdopen(stdout), os.fdopen(told))
        number = next(self._numbers)
        request = {"number": number, "settings": place.settings}
        try:
            socket.send_fds(self._requests, [json.dumps(request).encode()], [job, answer, code])
        except OSError:
            for file in mine:
                file.close()
            raise
        finally:
            for end in (job, answer, code):
                os.close(end)
        return _Forked(*mine, partial(self._kill, number))

    def _kill(self, number: int) -> None:
        said, _, _ = select.select([self._requests], [], [], 0)
        if not said:  # it is at its imports and has forked nobody
            self._process.kill()
            return
        with contextlib.suppress(OSError):  # without it, the worker ends when its stdin does
            self._requests.send(json.dumps({"kill": number}).encode())

    def close(self) -> None:
        self._requests.close()
        self._process.kill()
        self._process.wait()


@dataclass
class _Forked:
    stdin: IO[str]
    stdout: IO[str]
    told: IO[str]
    kill: Callable[[], None]
    code: str = ""

    def wait(self) -> int | None:
        if not self.told.closed:
            self.code = self.told.read()
            self.stdout.read()  # which ends with the worker, whoever else has died
            for file in (self.stdin, self.stdout, self.told):
                with contextlib.suppress(OSError):
                    file.close()
        return int(self.code) if self.code else None


def how_it_ended(code: int | None) -> str:
    """In words, after "the process"."""
    if code is None:
        return "ended, as did the one that forked it"
    if code >= 0:
        return f"ended with exit code {code}"
    why = " (out of memory, perhaps)" if code == -9 else ""
    return f"was ended by {signal.Signals(-code).name}{why}"
