"""Who is at a run: claims that also hold on a network file system, where locks may not.

A claim on a run is the folder `<out>/claims/<run_id>/` with one file in it, named by a token that
no other claim has. It is made beside its place and renamed there, which fails if a claim is there
already. A claim whose owner is gone is taken over by deleting the file that has its token: of
several that try, one succeeds, and a claim made meanwhile has another token and stays. The owner
touches its file every 20 seconds; one on this machine is gone when its process is, one elsewhere
when the file is two minutes old by the file system's own clock.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["GONE_AFTER_S", "claim", "forget_claims", "is_claimed"]

# A claim was there first; or this rename came about, and a server that lost its answer tried again.
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)
_HEARTBEAT_S = 20.0
GONE_AFTER_S = 120.0


@contextmanager
def claim(out: Path, run_id: str) -> Iterator[bool]:
    """True in the body while this process holds the run; False if another one does."""
    folder = out / "claims" / run_id
    mine = _take(folder)
    if mine is None:
        yield False
        return
    ended = threading.Event()
    heart = threading.Thread(target=_beat, args=(mine, ended), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        ended.set()
        heart.join()
        _drop(mine)


def is_claimed(out: Path, run_id: str) -> bool:
    """Whether a process that is still there is at the run."""
    owner = _owner_file(out / "claims" / run_id)
    return owner is not None and not _is_gone(owner)


def forget_claims(out: Path) -> None:
    """Remove the folder of claims if none is left."""
    with contextlib.suppress(OSError):
        (out / "claims").rmdir()


def _take(folder: Path) -> Path | None:
    """This process's claim on `folder`, or None if another process has one."""
    token = uuid.uuid4().hex
    while True:
        folder.parent.mkdir(parents=True, exist_ok=True)
        owner = _owner_file(folder)
        if owner is not None:
            if not _is_gone(owner):
                return None
            with contextlib.suppress(FileNotFoundError):
                owner.unlink()
        try:
            made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{token}."))
        except FileNotFoundError:
            continue  # whoever was last here removed the empty folder just now
        try:
            (made / token).write_text(json.dumps(_self()), encoding="utf-8")
            try:
                made.replace(folder)  # onto nothing, or onto a folder that is empty
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
        if (folder / token).exists():
            return folder / token


def _drop(mine: Path) -> None:
    mine.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        mine.parent.rmdir()


def _beat(mine: Path, ended: threading.Event) -> None:
    while not ended.wait(_HEARTBEAT_S):
        with contextlib.suppress(OSError):
            os.utime(mine)


def _owner_file(folder: Path) -> Path | None:
    try:
        return next(iter(folder.iterdir()), None)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _self() -> dict[str, object]:
    return {"machine": _machine(), "pid": os.getpid(), "began_after_start": _began(os.getpid())}


def _machine() -> str:
    """Where a process number means the same process: a host, and in it a namespace."""
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _began(pid: int) -> float | None:
    """When after the machine's start a process began, which tells it from a later one with its
    number, also where the clock was set meanwhile; None: it is gone."""
    import psutil

    try:
        process = psutil.Process(pid)
        started = psutil.boot_time()
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time() - started
    except psutil.NoSuchProcess:
        return None


def _is_gone(owner: Path) -> bool:
    try:
        who = json.loads(owner.read_text(encoding="utf-8"))
        if who["machine"] == _machine():
            began = _began(int(who["pid"]))
            return began is None or abs(began - who["began_after_start"]) > 1.0
    except FileNotFoundError:
        return False  # it has just been dropped: whoever asks looks again
    except (ValueError, KeyError, TypeError):
        pass  # half written when the disk was full, say: only its age counts
    try:
        return _now(owner.parent.parent) - owner.stat().st_mtime > GONE_AFTER_S
    except FileNotFoundError:
        return False


def _now(folder: Path) -> float:
    """The file system's time, for the clocks of two machines differ."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".now.") as file:
        return os.stat(file.name).st_mtime
