"""A process that lives for many runs: jobs as JSON lines on stdin, their ends on stdout.

`python -m ganbench.sweep.worker '{"cores": [0]}'`, or a fork of `ganbench.sweep.fork_server`.
When stdin ends, because whoever started the worker closed it or died, the run under way is
interrupted, which saves what it has.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import warnings
from dataclasses import asdict
from typing import Any, TextIO

from ganbench.protocols import JobEnd
from ganbench.sweep.job import execute_job, interrupt_on_sigterm, job_from

__all__ = ["main"]


def main(argv: list[str]) -> None:
    settings = json.loads(argv[0])
    if settings["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, settings["cores"])  # before torch counts them
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints is no answer
    interrupt_on_sigterm()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        _serve(answers)


def _serve(answers: TextIO) -> None:
    import ganbench.execution  # noqa: F401 - what every run needs is imported before the first

    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    working, orphaned = threading.Event(), threading.Event()
    threading.Thread(target=_read, args=(lines, working, orphaned), daemon=True).start()
    _say(answers, {"ready": os.getpid()})
    while line := lines.get():
        job = job_from(json.loads(line))
        working.set()
        try:
            if orphaned.is_set():
                return
            end = execute_job(job)
        except KeyboardInterrupt:
            end = JobEnd(job.run_id, "interrupted")
        finally:
            working.clear()
        _say(answers, asdict(end))


def _read(
    lines: queue.SimpleQueue[str], working: threading.Event, orphaned: threading.Event
) -> None:
    for line in sys.stdin:
        lines.put(line)
    orphaned.set()
    lines.put("")
    if working.is_set():
        os.kill(os.getpid(), signal.SIGTERM)


def _say(answers: TextIO, values: Any) -> None:
    try:
        print(json.dumps(values), file=answers, flush=True)
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more; the run folder has it all


if __name__ == "__main__":
    main(sys.argv[1:])
