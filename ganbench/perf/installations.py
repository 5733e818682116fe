"""What is measured: a Python, and folders that stand before its own packages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ganbench.errors import UsageError

__all__ = ["Installation", "check_same_environment", "check_sources", "python_at"]

# What may differ between the sides is the code that is measured, and nothing that it runs on.
_MUST_AGREE = ("python", "torch", "threads", "cpu", "cpu_capability", "device")


@dataclass(frozen=True, slots=True)
class Installation:
    """One side. `label` is how a person knows it: a path, a commit."""

    side: Literal["base", "head"]
    python: Path
    path: tuple[Path, ...] = ()
    label: str = ""

    def variables(self) -> Mapping[str, str]:
        """Environment variables that put `path` first on the import path."""
        if not self.path:
            return {}
        parts = [str(folder) for folder in self.path]
        if inherited := os.environ.get("PYTHONPATH"):
            parts.append(inherited)
        return {"PYTHONPATH": os.pathsep.join(parts)}


def python_at(text: str, flag: str) -> Path:
    """A Python, or the one in a virtual environment's folder. Raises `UsageError`."""
    path = Path(os.path.abspath(os.path.expanduser(text)))
    if path.is_dir():
        path = path / "bin" / "python"
    if not path.is_file() or not os.access(path, os.X_OK):
        raise UsageError(
            f"{flag} is '{text}', which is no Python: name a python program, such as "
            ".venv/bin/python, or a virtual environment's folder"
        )
    return path


def check_same_environment(base: Mapping[str, Any], head: Mapping[str, Any]) -> str | None:
    """Why the sides can't be compared; None if they can. Takes both servers' answers."""
    different = [
        f"{key} ({base['environment'].get(key)} in base, {head['environment'].get(key)} in head)"
        for key in _MUST_AGREE
        if base["environment"].get(key) != head["environment"].get(key)
    ]
    if not different:
        return None
    return (
        f"the environments differ in {', '.join(different)}, so a difference in speed could be "
        "theirs: install both sides with the same versions"
    )


def check_sources(installation: Installation, answer: Mapping[str, Any]) -> None:
    """Raise `UsageError` if nothing that runs came from the folder that was to be measured."""
    for folder in installation.path:
        inside = f"{folder.resolve()}{os.sep}"
        if not any(os.path.realpath(file).startswith(inside) for file in answer["files"]):
            raise UsageError(
                f"{installation.side}: nothing was imported from {folder}, so it is not what "
                f"would be measured (ganbench came from {answer['folder']}): is it a package's "
                "root, or its src?"
            )
