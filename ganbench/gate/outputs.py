"""Writes a report wherever it was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ganbench.errors import GanbenchError, UsageError
from ganbench.files import write_text
from ganbench.gate.github import to_annotations, to_github_benchmark
from ganbench.gate.json_report import to_json
from ganbench.gate.junit import to_junit
from ganbench.gate.markdown import to_markdown
from ganbench.gate.report import Report
from ganbench.gate.terminal import print_report

__all__ = ["Outputs"]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a report goes: the flags that `compare` and `perf` share."""

    as_json: bool = False
    markdown: Path | None = None
    junit: Path | None = None
    github_benchmark: Path | None = None
    annotations: bool = False

    def check(self) -> None:
        """Raise `UsageError` for a place where no file can be written, before any measuring."""
        for flag, path in self._files():
            if path.is_dir() or not path.absolute().parent.is_dir():
                reason = "is a folder" if path.is_dir() else "lies in no folder that exists"
                raise UsageError(f"{flag} is '{path}', which {reason}")

    def write(self, report: Report) -> None:
        """Files, then annotations, then the report itself on stdout: JSON alone with `as_json`."""
        writers: dict[str, Callable[[Report], str]] = {
            "--markdown": to_markdown,
            "--junit": to_junit,
            "--github-benchmark": to_github_benchmark,
        }
        for flag, path in self._files():
            try:
                write_text(path, writers[flag](report))
            except OSError as error:
                raise GanbenchError(
                    f"{flag} '{path}' can't be written: {error.strerror}"
                ) from error
        if self.annotations:
            # The runner reads both streams for commands; JSON on stdout stays JSON.
            print(to_annotations(report), end="", file=sys.stderr if self.as_json else sys.stdout)
        if self.as_json:
            print(to_json(report))
        else:
            print_report(report)

    def _files(self) -> list[tuple[str, Path]]:
        named = {
            "--markdown": self.markdown,
            "--junit": self.junit,
            "--github-benchmark": self.github_benchmark,
        }
        return [(flag, path) for flag, path in named.items() if path is not None]
