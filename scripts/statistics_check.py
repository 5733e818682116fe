"""Do the statistics keep their word? Coverage, false positives and power, by simulation.

    python scripts/statistics_check.py --doc docs/statistics.md

Rewrites the tables between the page's markers. Every cell draws its own samples from a fixed seed;
± is twice the standard error of the share, as Agresti and Coull reckon it, which is not 0 where
nothing was seen. About ten minutes on one core.
"""

from __future__ import annotations

import argparse
import gc
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from ganbench.stats.blocks import Blocks
from ganbench.stats.intervals import interval_of_median
from ganbench.stats.pairs import pairs_for
from ganbench.stats.ranks import rank_blocks

BEGIN, END = "<!-- simulation: begin -->", "<!-- simulation: end -->"
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Seed = int | tuple[int, ...]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 30 + 3 * rng.normal(size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """exp N(3, ½²): median e³, mean 13 % above it."""
    return np.exp(3 + 0.5 * rng.normal(size=shape))


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """exp(3 + 0.3 t), t Student's with 2 degrees of freedom, cut at ±500 where floats end: median
    e³, one value in 200 lies beyond 19 times that. Uncut not even the logarithm has a variance."""
    return np.exp(3 + 0.3 * np.clip(rng.standard_t(2, size=shape), -500, 500))


def diverging(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """As `skewed`, but one run in five diverges: half lie below the ⅝-quantile of the others."""
    return np.where(rng.random(shape) < 0.2, np.inf, skewed(rng, shape))


DISTRIBUTIONS: dict[str, tuple[Draw, float]] = {
    "normal": (normal, 30.0),
    "skewed": (skewed, math.exp(3)),
    "heavy tails": (heavy_tailed, math.exp(3)),
    "skewed, 20 % diverge": (diverging, math.exp(3 + 0.5 * 0.31863936396437514)),
}


# title, treatments, blocks, and the factor on the first one's scores
COMPARISONS = (
    ("2 treatments, 5 blocks", 2, 5, 1.0),
    ("6, 5 blocks", 6, 5, 1.0),
    ("6, 15 blocks", 6, 15, 1.0),
    ("6, one a tenth of the others, 15 blocks", 6, 15, 0.1),
)


def coverage(draw: Draw, median: float, n: int, times: int, seed: Seed = 0) -> float:
    """The share of 95 % intervals of the median that hold it."""
    rng = np.random.default_rng(seed)
    held = 0
    for _ in range(times):
        low, high = interval_of_median(draw(rng, (n,)))
        held += low <= median <= high
    return held / times


def false_positives(
    draw: Draw, k: int, n: int, times: int, seed: Seed = 0, *, first: float = 1.0
) -> float:
    """The share of comparisons of k treatments in n blocks that claim a difference between equals.

    A block multiplies all of its scores by a factor of its own, as a data set or a seed does. The
    first treatment's scores are multiplied by `first` besides; unless that is 1, claims about it
    are true and not counted.
    """
    gc.collect()
    gc.freeze()  # statsmodels collects garbage at each call: not what was there before
    rng = np.random.default_rng(seed)
    false = 0
    for _ in range(times):
        scores = draw(rng, (n, k)) * np.exp(rng.normal(size=(n, 1)))
        scores[:, 0] *= first
        other = {"t0"} if first != 1.0 else set()
        ranking = rank_blocks(blocks(scores), power=False)
        false += any(
            one.differ and other.isdisjoint((one.better, one.worse)) for one in ranking.comparisons
        )
    return false / times


def power(size: float, k: int, times: int, seed: Seed = 0) -> tuple[int, float]:
    """The blocks that one pair needs among k treatments, and how often so many tell it apart.

    Holm's first threshold, 0.05 over all pairs, as `ganbench rank` takes it.
    """
    from scipy.stats import ttest_1samp

    alpha = 0.05 / math.comb(k, 2)
    n = pairs_for(size, alpha)
    d = np.random.default_rng(seed).normal(size, 1, size=(times, n))
    return n, float((ttest_1samp(d, 0, axis=1).pvalue < alpha).mean())


def blocks(scores: np.ndarray) -> Blocks:
    n, k = scores.shape
    names = tuple(f"t{j}" for j in range(k))
    rows = tuple(tuple(range(i * k, i * k + k)) for i in range(n))
    return Blocks(names, tuple(f"b{i}" for i in range(n)), scores, rows, n, ())


def share(p: float, times: int) -> str:
    q = (p * times + 2) / (times + 4)
    return f"{100 * p:.1f} % ± {200 * math.sqrt(q * (1 - q) / (times + 4)):.1f}"


def coverage_table(times: int) -> str:
    rows = []
    for i, (name, (draw, median)) in enumerate(DISTRIBUTIONS.items()):
        cells = {
            f"n = {n}": share(coverage(draw, median, n, times, (1, i, n)), times)
            for n in (5, 10, 20)
        }
        rows.append({"distribution": name} | cells)
        print(rows[-1], flush=True)
    head = f"Coverage of the 95 % interval of a median, {times} samples a cell:"
    return f"{head}\n\n{pd.DataFrame(rows).to_markdown(index=False)}"


def false_positives_table(times: int) -> str:
    rows = []
    for i, (name, (draw, _)) in enumerate(DISTRIBUTIONS.items()):
        row = {"distribution": name}
        for title, k, n, first in COMPARISONS:
            found = false_positives(draw, k, n, times, (2, i, k, n), first=first)
            row[title] = share(found, times)
        rows.append(row)
        print(row, flush=True)
    head = f"Any false claim of `rank` at alpha = 0.05, {times} comparisons a cell:"
    return f"{head}\n\n{pd.DataFrame(rows).to_markdown(index=False)}"


def power_table(times: int) -> str:
    rows = []
    for size, k in ((0.5, 2), (1.0, 2), (1.0, 6), (2.0, 6)):
        n, found = power(size, k, times)
        row = {"mean / std of differences": size, "treatments": k, "blocks named": n}
        rows.append(row | {"told apart": share(found, times)})
    head = f"Power with the number of blocks that `rank` names, {times} draws a line:"
    return f"{head}\n\n{pd.DataFrame(rows).to_markdown(index=False)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--doc", type=Path, default=Path("docs/statistics.md"))
    parser.add_argument("--times", type=int, default=4000)
    options = parser.parse_args()
    times = options.times
    parts = (coverage_table(times), false_positives_table(times), power_table(5 * times))
    made = "\n\n".join(parts)
    text = options.doc.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    options.doc.write_text(f"{head}{BEGIN}\n{made}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
