"""What one setting takes in a sweep: `nonsat,hinge`, `adam:lr=1e-4,adam:lr=2e-4`, `0..4`."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from ganbench.errors import UsageError, unknown
from ganbench.grammar import split_list
from ganbench.spec import RunSpec

__all__ = ["check_key", "values_of"]

_RANGE = re.compile(r"\s*(\d+)\s*\.\.\s*(\d+)\s*(?:\.\.\s*(\d+)\s*)?")
_WHOLE = {"metrics", "data_root", "extractor_weights"}  # a comma in these separates no runs
_NUMBERS = {
    *("steps", "batch_size", "micro_batch_size", "n_dis", "z_dim", "ema_halflife_kimg", "seed"),
    *("threads", "n_samples", "checkpoint_every", "eval_every"),
}
_MOST = 1_000_000


def values_of(key: str, given: Any) -> list[Any]:
    """The values of setting `key`, in order, each once. Text is split at commas, though not inside
    brackets, quotes or a component's options; `0..4` is 0, 1, 2, 3, 4 and `0..8..2` every second.

    Raises `UsageError` for an empty value or an empty range.
    """
    if isinstance(given, list) and key != "metrics":
        items = [one for item in given for one in _of_one(key, item)]
    elif key == "metrics" and isinstance(given, list) and given and isinstance(given[0], list):
        items = given
    else:
        items = _of_one(key, given)
    if not items:
        raise UsageError(f"{key} has no values: give one at least, or leave it out")
    return [item for i, item in enumerate(items) if item not in items[:i]]


def check_key(key: str, where: str) -> None:
    """Raise `UsageError` unless a run has this setting."""
    if key not in RunSpec.settable():
        raise unknown("setting", key, RunSpec.settable(), where)


def _of_one(key: str, given: Any) -> list[Any]:
    if not isinstance(given, str) or key in _WHOLE:
        return [given]
    parts = split_list(given)
    if "" in parts:
        raise UsageError(f"{key} is '{given}', where a value is empty: a comma too many?")
    if key not in _NUMBERS:
        return list(parts)
    return [value for part in parts for value in _numbers(key, part)]


def _numbers(key: str, text: str) -> list[Any]:
    match = _RANGE.fullmatch(text)
    if match is None:
        return [_number_or_text(text)]
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if last < first or step < 1:
        raise UsageError(f"{key} is '{text}', an empty range: write the smaller number first")
    if last - first > _MOST * step:
        raise UsageError(f"{key} is '{text}', which is more than {_MOST:,} values")
    return list(range(first, last + 1, step))


def _number_or_text(text: str) -> int | float | str:
    """`RunSpec` explains what is wrong with what is no number."""
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(text)
    return text
