"""What a comparison supports and what it does not, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ganbench.stats.pairs import Comparison
from ganbench.stats.ranks import Ranking

__all__ = ["MANY", "claim", "doubt", "sentences"]

MANY = 1000  # seeds; an effect that needs more is none that matters
_SHOWN = 15


def sentences(ranking: Ranking) -> list[str]:
    """First what may be claimed, then what may not, each in the order of the ranks."""
    place = {name: i for i, name in enumerate(ranking.table["treatment"])}
    ordered = sorted(ranking.comparisons, key=lambda c: sorted((place[c.better], place[c.worse])))
    lines = [_friedman(ranking)] if ranking.friedman_p is not None else []
    seeds = ranking.blocks.seeds
    lines += _first([claim(one) for one in ordered if one.differ])
    lines += _first([doubt(one, seeds) for one in ordered if not one.differ])
    return lines


def claim(one: Comparison) -> str:
    """`A is better than B in 15 of 15 blocks (…)`."""
    how = f"{_effect(one)}, {one.test}, Holm p = {one.p_holm:.2g}"
    return f"{one.better} is better than {one.worse} in {one.wins} of {one.blocks} blocks ({how})"


def doubt(one: Comparison, seeds: int) -> str:
    """`A and B can't be told apart with 5 seeds; about 14 would be needed`."""
    said = f"{one.better} and {one.worse} can't be told apart with {_seeds(seeds)}"
    if one.test.startswith("none"):
        return f"{said}: every block has the same value"
    if one.seeds_needed is None:
        return f"{said}; how many would be needed can't be said, for runs diverged"
    if one.seeds_needed > MANY:
        return f"{said}; more than {MANY} would be needed"
    return f"{said}; about {one.seeds_needed} would be needed"


def _friedman(ranking: Ranking) -> str:
    p, n, k = ranking.friedman_p, len(ranking.blocks), len(ranking.blocks.treatments)
    said = f"Friedman's test over {n} blocks of {k}: p = {p:.2g}"
    if p is not None and p < ranking.alpha:
        return f"{said}: they do not all rank the same"
    return f"{said}: no difference is shown, so none is claimed for any pair"


def _effect(one: Comparison) -> str:
    if one.effect_is_ratio:
        return f"median ratio {one.effect:.3g}"
    return f"median difference {one.effect:.3g}"


def _seeds(n: int) -> str:
    return "1 seed" if n == 1 else f"{n} seeds"


def _first(lines: Sequence[str]) -> list[str]:
    rest = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"… and {rest} more pairs: --json has all"] if rest > 0 else [])]
