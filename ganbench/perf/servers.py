"""Processes in the measured installations that fork workers, and the pipe to each."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from ganbench.errors import GanbenchError, UsageError
from ganbench.perf.installations import Installation

__all__ = ["Server", "SideFailed", "running"]

_START_LIMIT_S = 300.0
_ANSWER_LIMIT_S = 120.0
# One thread is measured; libraries that count cores on import would start others.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SideFailed(GanbenchError):
    """An installation can't play: it crashed, hung, or does not know the spec. No verdict."""


class SpecRefused(SideFailed):
    """An installation does not know what the spec asks for."""


class Server:
    """One process of `installation`, from which workers are forked. Use it as a context.

    `under` is a command that runs it, and `extra` are environment variables that it needs.
    """

    def __init__(
        self,
        installation: Installation,
        threads: int,
        under: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.installation = installation
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        source = (Path(__file__).parent / "worker.py").read_text(encoding="utf-8")
        variables = dict.fromkeys(_THREAD_VARIABLES, str(threads))
        # torch then counts CUDA devices without a context, which a fork could not share.
        variables["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
        try:
            self._process = subprocess.Popen(
                [*under, str(installation.python), "-c", source],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,  # Ctrl-C comes to us alone, and we end the whole session
                env={**os.environ, **installation.variables(), **variables, **(extra or {})},
            )
        except OSError as error:
            raise SideFailed(
                f"{installation.side}: {installation.python} can't be started: {error.strerror}"
            ) from None
        self._pending = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def request(self, limit_s: float = _ANSWER_LIMIT_S, **content: Any) -> dict[str, Any]:
        """Ask and wait for the answer. Raises `SideFailed` for an error, a crash or silence."""
        self.send(**content)
        return self.answer(limit_s, content["do"])

    def send(self, **content: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer will tell
            self._process.stdin.write(json.dumps(content).encode() + b"\n")

    def answer(self, limit_s: float = _ANSWER_LIMIT_S, what: str = "start") -> dict[str, Any]:
        line = self._line(time.monotonic() + limit_s, what, limit_s)
        content: dict[str, Any] = json.loads(line)
        if "error" not in content:
            return content
        side = self.installation.side
        if content["kind"] == "spec":
            raise SpecRefused(f"{side} can't play this: {content['error']}")
        trace = content.get("traceback", "") + self._printed()
        raise SideFailed(f"{side} crashed: {content['error']}{_indented(trace)}")

    def _line(self, deadline: float, what: str, limit_s: float) -> bytes:
        stdout = self._process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise SideFailed(
                        f"{self.installation.side} gave no answer to '{what}' within "
                        f"{limit_s:.0f} s{_indented(self._printed())}"
                    )
                received = os.read(stdout.fileno(), 1 << 20)
                if not received:
                    code = self._process.wait()
                    how = f"signal {-code}" if code < 0 else f"exit code {code}"
                    raise SideFailed(
                        f"{self.installation.side} crashed: its process ended with {how}"
                        f"{_indented(self._printed())}"
                    )
                self._pending += received
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _printed(self) -> str:
        """The end of what it wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]

    def close(self) -> None:
        """End the process and its child, whatever they are doing."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def running(
    base: Installation,
    head: Installation,
    specs: Mapping[str, Mapping[str, Any]],
    *,
    per_side: int,
    threads: int,
) -> Iterator[tuple[list[Server], list[Server], list[dict[str, Any]]]]:
    """`per_side` servers of each installation, started and loaded; then what the first two said.

    They start in pairs, so that no more cores are busy than a small machine has.
    """
    with ExitStack() as stack:
        bases, heads, answers = [], [], []
        for _ in range(per_side):
            pair = [stack.enter_context(Server(one, threads)) for one in (base, head)]
            for server in pair:
                server.send(do="start", specs=specs, threads=threads)
            answers += _started(pair)
            bases.append(pair[0])
            heads.append(pair[1])
        yield bases, heads, answers[:2]


def _started(pair: list[Server]) -> list[dict[str, Any]]:
    """Both answers. A spec that both sides refuse is the user's mistake."""
    answers, refused = [], []
    for server in pair:
        try:
            answers.append(server.answer(_START_LIMIT_S))
        except SpecRefused as error:
            refused.append(error)
    if len(refused) == len(pair):
        raise UsageError(str(refused[1]).removeprefix("head can't play this: "))
    if refused:
        raise refused[0]
    return answers


def _indented(text: str) -> str:
    return "".join(f"\n  {line}" for line in text.strip().splitlines()[-12:])
