"""From a request to the settings of every run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ganbench.errors import UsageError
from ganbench.spec import RunSpec
from ganbench.sweep.request import SweepRequest
from ganbench.sweep.search import apply_sample, samples

__all__ = ["expand", "is_excluded"]


def expand(request: SweepRequest) -> Iterator[dict[str, Any]]:
    """The settings of each run: the combinations of each grid, the last setting fastest, the first
    grid once for each sample of the search. What an exclusion matches is left out."""
    for number, axes in enumerate(request.grids):
        drawn = samples(request.search) if request.search and number == 0 else [{}]
        for values in itertools.product(*axes.values()):
            settings = dict(zip(axes, values, strict=True))
            for sample in drawn:
                one = apply_sample(settings, sample)
                if not any(is_excluded(one, exclusion) for exclusion in request.exclusions):
                    yield one


def is_excluded(settings: Mapping[str, Any], exclusion: Mapping[str, Sequence[str]]) -> bool:
    """Whether every setting that `exclusion` names has one of the values it gives. `*` in a value
    stands for anything."""
    return all(
        any(_matches(pattern, value) for pattern in patterns for value in _values(settings, key))
        for key, patterns in exclusion.items()
    )


def _values(settings: Mapping[str, Any], key: str) -> list[str]:
    """The setting as a run's spec writes it; `opt` is what both players have, if it is one."""
    if key == "opt":
        opt_g, opt_d = (_values(settings, one) for one in ("opt_g", "opt_d"))
        return opt_g if opt_g == opt_d else []
    given = settings.get(key)
    if given is None and key in ("opt_g", "opt_d"):
        given = settings.get("opt")
    return [
        _canonical(key, str(given), isinstance(given, str)) if given is not None else _default(key)
    ]


@lru_cache(maxsize=4096)
def _canonical(key: str, text: str, is_text: bool) -> str:
    if not is_text:
        return text
    try:
        return str(getattr(RunSpec(**{key: text}), key))
    except UsageError:
        return text  # `check` says what is wrong with it


def _default(key: str) -> str:
    return str(RunSpec.model_fields[key].default)


def _matches(pattern: str, value: str) -> bool:
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), value) is not None
