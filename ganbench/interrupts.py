"""Ctrl-C and SIGTERM: a flag that a loop reads where it is safe to stop, or the end at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["StopRequest", "leave_at_once", "stop_requests"]


class StopRequest:
    """True once the process was asked to stop. A second request interrupts at once."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM in the body. Outside the main thread, where Python allows no
    handlers, nothing is caught."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def leave_at_once(message: str = "") -> Iterator[None]:
    """In the body, Ctrl-C ends the process with exit code 130 and no further step.

    For imports: a KeyboardInterrupt in the midst of one may be swallowed, and leave a module half
    made that fails later. Write no files in the body.
    """

    def leave(_signal: int, _frame: FrameType | None) -> None:
        os.write(2, f"{message}\n".encode() if message else b"")
        os._exit(130)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
