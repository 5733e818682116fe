"""Which runs belong to the sweeps of a results folder, and how far each is."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from ganbench.errors import CannotWrite, UsageError
from ganbench.files import write_text
from ganbench.record import RunRecord
from ganbench.store import status_of
from ganbench.sweep.claims import is_claimed

__all__ = ["error_of", "run_ids_of", "save_manifest", "state_of", "states"]

log = logging.getLogger("ganbench")


def save_manifest(out: Path, run_ids: Sequence[str]) -> None:
    """Write down the runs of a sweep in `<out>/sweeps/`, under the hash of their list."""
    text = json.dumps({"run_ids": list(run_ids)}, indent=1)
    name = hashlib.sha256(text.encode()).hexdigest()[:10]
    try:
        write_text(out / "sweeps" / f"{name}.json", text + "\n")
    except OSError as error:
        raise CannotWrite(f"nothing can be written in '{out}': {error.strerror}") from error


def run_ids_of(out: Path) -> list[str]:
    """The runs of all sweeps of the folder, each once. A file that can't be read is reported and
    left out: the same sweep command writes it anew."""
    found: dict[str, None] = {}
    for file in sorted((out / "sweeps").glob("*.json")):
        try:
            found |= dict.fromkeys(_Manifest.model_validate_json(file.read_bytes()).run_ids)
        except (OSError, ValueError):
            log.warning("%s is no list of a sweep's runs, and is left out", file)
    return list(found)


class _Manifest(BaseModel):
    run_ids: list[str]


def state_of(out: Path, run_id: str) -> str:
    """A run's status; `running` while a process is at it, `waiting` if it has never ended."""
    status = status_of(out, run_id)
    if status in ("completed", "diverged"):
        return status
    return "running" if is_claimed(out, run_id) else status or "waiting"


def error_of(out: Path, run_id: str) -> str:
    """What a failed run's record says of why."""
    try:
        return RunRecord.load(out / "runs" / run_id).error or ""
    except (OSError, ValueError, UsageError):
        return ""


def states(out: Path, run_ids: Sequence[str]) -> Counter[str]:
    """How many runs are in each state."""
    return Counter(state_of(out, run_id) for run_id in run_ids)
