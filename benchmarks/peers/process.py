"""A contender's process, asked over a pipe. It sleeps while another one is measured."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from environments import NotInstallable
from roster import Entry

WORKER = Path(__file__).with_name("worker.py")


class Unavailable(Exception):
    """This contender can't be measured here; the message says why."""


class Process:
    """Starts at once. Raises `Unavailable`, now or at any request."""

    def __init__(self, entry: Entry, threads: int, logs: Path) -> None:
        self.entry = entry
        try:
            python = entry.environment.python()
        except NotInstallable as error:
            raise Unavailable(f"can't be installed: {error}") from error
        logs.mkdir(parents=True, exist_ok=True)
        with open(logs / f"{entry.key}.log", "w") as log:
            self._process = subprocess.Popen(
                [python, str(WORKER), entry.module, entry.precision, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=logs,
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps({"do": do, **request}), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Unavailable(f"its process ended with exit code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Unavailable(answer["error"])
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
