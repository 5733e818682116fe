"""Samples of hyper-parameters: at random, or evenly spread by a Halton or Sobol sequence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganbench.errors import UsageError, unknown
from ganbench.grammar import Component, format_sum, parse_sum
from ganbench.spec import RunSpec

__all__ = ["Range", "Search", "apply_sample", "parse_search", "samples"]

_METHODS = ("random", "halton", "sobol")
_COMPONENTS = ("generator", "discriminator", "loss", "opt", "opt_g", "opt_d", "schedule", "rule")
_KEYS = ("method", "n", "seed", "space")
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Range:
    """What `path` may be: from `low` to `high`, or one of `choices`. `path` is a setting
    (`n_dis`) or an option of a component (`opt.lr`, `loss.r1.gamma`)."""

    path: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    integer: bool = False
    choices: tuple[Any, ...] = ()

    def at(self, u: float) -> Any:
        """The value at `u` in [0, 1): u of the way, or of the way between logarithms."""
        if self.choices:
            return self.choices[int(u * len(self.choices))]
        if self.integer:
            low, high = self.low, self.high + 1
            x = low * (high / low) ** u if self.log else low + u * (high - low)
            return min(int(x), int(self.high))
        if self.log:
            x = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            x = self.low + u * (self.high - self.low)
        return float(f"{x:.{_DIGITS}g}")


@dataclass(frozen=True, slots=True)
class Search:
    """`n` samples of `ranges`. The same `seed` gives the same samples."""

    method: str
    n: int
    seed: int
    ranges: tuple[Range, ...]


def parse_search(table: Mapping[str, Any]) -> Search:
    """`[search]`: method, n, seed, and `[search.space]`. Raises `UsageError` for what is wrong."""
    for key in table:
        if key not in _KEYS:
            raise unknown("key", key, _KEYS, "(in [search])")
    method, n, seed = table.get("method", "random"), table.get("n"), table.get("seed", 0)
    if method not in _METHODS:
        raise unknown("search method", str(method), _METHODS, "(in [search])")
    if type(n) is not int or n < 1:
        raise UsageError(f"n of [search] is {n!r}, but must be how many samples: 1 or more")
    if type(seed) is not int or seed < 0:
        raise UsageError(f"seed of [search] is {seed!r}, but must be a whole number from 0 up")
    if method == "sobol" and n & (n - 1):
        below = 1 << (n.bit_length() - 1)
        raise UsageError(
            f"n of [search] is {n}, but Sobol points are spread evenly only if there are a power "
            f'of two: take {below} or {2 * below}, or method = "halton", which takes any n'
        )
    space = table.get("space")
    if not isinstance(space, Mapping) or not space:
        raise UsageError("[search] has no [search.space], such as opt.lr = {low=1e-5, high=1e-2}")
    return Search(method, n, seed, tuple(_ranges(space, ())))


def samples(search: Search) -> list[dict[tuple[str, ...], Any]]:
    """The samples: for each range's path its value."""
    dims = len(search.ranges)
    points: Sequence[Sequence[float]]
    if search.method == "random":
        import numpy as np

        points = np.random.default_rng(search.seed).random((search.n, dims)).tolist()
    else:
        import numpy as np
        from scipy.stats import qmc

        rng = np.random.default_rng(search.seed)
        engine = qmc.Halton if search.method == "halton" else qmc.Sobol
        points = engine(dims, scramble=True, seed=rng).random(search.n).tolist()
    return [
        {range_.path: range_.at(u) for range_, u in zip(search.ranges, point, strict=True)}
        for point in points
    ]


def apply_sample(
    settings: Mapping[str, Any], sample: Mapping[tuple[str, ...], Any]
) -> dict[str, Any]:
    """`settings` with the sample's values in place: of settings, and of components' options."""
    changed = dict(settings)
    for (key, *rest), value in sample.items():
        if not rest:
            changed[key] = value
            continue
        targets = [key]
        if key == "opt":
            targets = [one for one in ("opt", "opt_g", "opt_d") if one in changed] or ["opt"]
        for target in targets:
            default = RunSpec.model_fields["opt_g" if target == "opt" else target].default
            text = changed.get(target, changed.get("opt", default) if key != "opt" else default)
            changed[target] = _with_option(text, rest, value, ".".join((key, *rest)))
    return changed


def _with_option(text: str, rest: list[str], value: Any, path: str) -> str:
    components = list(parse_sum(text))
    *names, option = rest
    name = names[0] if names else components[0].name
    if not names and len(components) > 1:
        known = " or ".join(f"{path.partition('.')[0]}.{one.name}.{option}" for one in components)
        raise UsageError(f"[search.space] names {path}, but '{text}' has several terms: {known}?")
    if name not in [one.name for one in components]:
        raise UsageError(f"[search.space] names {path}, but there is no '{name}' in '{text}'")
    return format_sum(
        tuple(
            Component(one.name, {**one.options, option: value}) if one.name == name else one
            for one in components
        )
    )


def _ranges(space: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Range]:
    for key, value in space.items():
        here = (*path, key)
        if not path and key not in RunSpec.settable():
            raise unknown("setting", key, RunSpec.settable(), "(in [search.space])")
        if isinstance(value, list):
            value = {"choices": value}
        if not isinstance(value, Mapping):
            raise UsageError(f"{_dotted(here)} is {value!r}, but must be {_EXAMPLE}")
        if not {"low", "high", "choices"} & value.keys():
            if key not in _COMPONENTS and not path:
                raise UsageError(f"{key} has no options: give {key} = {_EXAMPLE}")
            yield from _ranges(value, here)
        else:
            yield _range(here, value)


_EXAMPLE = "{low=1e-5, high=1e-2, log=true}, or a list of choices"


def _range(path: tuple[str, ...], table: Mapping[str, Any]) -> Range:
    where = _dotted(path)
    for key in table:
        if key not in ("low", "high", "log", "integer", "choices"):
            raise unknown("key", key, ("low", "high", "log", "integer", "choices"), f"(in {where})")
    if "choices" in table:
        choices = table["choices"]
        if len(table) > 1 or not isinstance(choices, list) or not choices:
            raise UsageError(f"{where}: choices is a list with a value at least, and stands alone")
        return Range(path, choices=tuple(choices))
    low, high, log = table.get("low"), table.get("high"), table.get("log", False)
    for name, value in (("low", low), ("high", high)):
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise UsageError(f"{where}: {name} is {value!r}, but must be a number")
    for name in ("log", "integer"):
        if not isinstance(table.get(name, False), bool):
            raise UsageError(f"{where}: {name} is {table[name]!r}, but must be true or false")
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if not low < high:
        raise UsageError(f"{where}: low is {low} and high is {high}, but low must be the smaller")
    if log and low <= 0:
        raise UsageError(f"{where}: low is {low}, but a log scale begins above 0")
    integer = table.get("integer", isinstance(low, int) and isinstance(high, int))
    return Range(path, low, high, log, integer)


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(("search.space", *path))
