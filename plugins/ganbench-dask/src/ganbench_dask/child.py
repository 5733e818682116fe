"""A process beside a thread of a Dask worker. What a run sets in torch holds for a whole process,
so two runs never share one. It lives for many runs, and ends with the worker."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import Any

from distributed import Event, get_client

__all__ = ["execute"]

_LOOK_EVERY_S = 1.0
_mine = threading.local()


def execute(job: dict[str, Any], stop_event: str) -> dict[str, Any]:
    """Run the job in this thread's process; its end as plain values. Once the event is set, what
    has not begun is skipped, and what is under way is interrupted and saves what it has."""
    stopping = Event(stop_event, client=get_client())
    if stopping.is_set():
        return {"run_id": job["run_id"], "status": "skipped", "error": ""}
    child = _child()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_ask, child, json.dumps(job))
        while True:
            try:
                line = answer.result(timeout=_LOOK_EVERY_S)
                break
            except NotYet:
                if stopping.is_set() and not child.stdin.closed:
                    child.stdin.close()  # which interrupts the run
    if child.stdin.closed:
        del _mine.child
    if line:
        return dict(json.loads(line))
    code = child.wait()
    vars(_mine).clear()
    return {"run_id": job["run_id"], "status": "lost", "error": f"its process ended with {code}"}


def _ask(child: subprocess.Popen[str], job: str) -> str:
    try:
        child.stdin.write(job + "\n")
        child.stdin.flush()
        return child.stdout.readline()
    except (BrokenPipeError, ValueError):
        return ""


def _child() -> subprocess.Popen[str]:
    """This thread's process: the worker that ganbench itself uses, whose first line says ready."""
    child = getattr(_mine, "child", None)
    if child is None or child.poll() is not None:
        child = subprocess.Popen(
            [sys.executable, "-m", "ganbench.sweep.worker", json.dumps({"cores": []})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        if not child.stdout.readline():
            raise RuntimeError(f"ganbench does not start on this worker: exit code {child.wait()}")
        _mine.child = child
    return child
