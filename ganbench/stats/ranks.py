"""Treatments ranked in every block: Friedman's test, mean ranks, and who can be told apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ganbench.errors import UsageError
from ganbench.stats.blocks import Blocks, blocks_of
from ganbench.stats.intervals import quantile
from ganbench.stats.pairs import Comparison, compare_pairs
from ganbench.stats.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Ranking", "friedman", "rank", "rank_blocks"]


@dataclass(frozen=True)
class Ranking:
    """`table`: a row a treatment, the best mean rank first. `critical_difference` is Nemenyi's."""

    table: pd.DataFrame
    comparisons: tuple[Comparison, ...]
    friedman_p: float | None
    critical_difference: float
    blocks: Blocks
    alpha: float

    def p_values(self) -> pd.DataFrame:
        """Treatments × treatments: Holm's p, or 1 where nothing may be claimed."""
        import pandas as pd

        names = [*self.table["treatment"]]
        matrix = pd.DataFrame(1.0, index=names, columns=names)
        for one in self.comparisons:
            p = one.p_holm if one.differ else max(one.p_holm, self.alpha)
            matrix.loc[one.better, one.worse] = matrix.loc[one.worse, one.better] = p
        return matrix

    def as_dict(self) -> dict[str, Any]:
        return {
            "blocks": len(self.blocks),
            "seeds": self.blocks.seeds,
            "alpha": self.alpha,
            "friedman_p": self.friedman_p,
            "critical_difference": self.critical_difference,
            "ranks": self.table.to_dict("records"),
            "comparisons": [asdict(one) for one in self.comparisons],
            "notes": [*self.blocks.notes],
        }


def rank(sample: Sample, by: Sequence[str], alpha: float = 0.05) -> Ranking:
    """Rank the values of `by` over blocks. Raises `UsageError` where they can't be compared."""
    if not 0 < alpha < 1:
        raise UsageError(f"alpha is {alpha}, but must lie between 0 and 1")
    ranking = rank_blocks(blocks_of(sample, by), alpha)
    table = ranking.table
    table["median"] = [sample.value_of(score) for score in table["median"]]
    return ranking


def rank_blocks(blocks: Blocks, alpha: float = 0.05, *, power: bool = True) -> Ranking:
    """Mean ranks over blocks, ties shared; a run that diverged has the worst rank of its block.

    With three or more treatments, no two are told apart unless Friedman's test sees a difference.
    """
    import pandas as pd
    from scipy.stats import rankdata

    n, k = blocks.scores.shape
    p = friedman(blocks.scores) if k > 2 else None
    gate = p is None or p < alpha
    ranks = rankdata(blocks.scores, axis=1)
    table = pd.DataFrame(
        {
            "treatment": blocks.treatments,
            "mean_rank": ranks.mean(axis=0),
            "median": [quantile(column, 0.5) for column in blocks.scores.T],
            "diverged": np.isinf(blocks.scores).mean(axis=0),
            "wins": (ranks == ranks.min(axis=1, keepdims=True)).sum(axis=0),
        }
    )
    table = table.sort_values(["mean_rank", "median"], kind="stable", ignore_index=True)
    return Ranking(
        table=table,
        comparisons=tuple(compare_pairs(blocks, alpha, gate=gate, power=power)),
        friedman_p=p,
        critical_difference=_nemenyi(k, alpha) * math.sqrt(k * (k + 1) / (6 * n)),
        blocks=blocks,
        alpha=alpha,
    )


@lru_cache
def _nemenyi(k: int, alpha: float) -> float:
    """q_α of Demšar 2006, table 5: the studentized range's quantile over √2."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - alpha, k, math.inf)) / math.sqrt(2)


def friedman(scores: np.ndarray[Any, Any]) -> float:
    """p of the hypothesis that all k ≥ 3 columns of (N, k) have the same ranks.

    F = (N − 1)χ² / (N(k − 1) − χ²) with k − 1 and (k − 1)(N − 1) degrees of freedom, χ² Friedman's.
    Iman & Davenport 1980, as Demšar 2006 advises. Where all blocks agree F is infinite, and χ²'s
    own p is taken, which is larger.
    """
    from scipy.stats import f, friedmanchisquare

    n, k = scores.shape
    finite = np.where(np.isinf(scores), np.sign(scores) * 1e150, scores)
    if (finite == finite[:, :1]).all():
        return 1.0
    found = friedmanchisquare(*finite.T)
    chi2, slack = float(found.statistic), n * (k - 1) - float(found.statistic)
    if slack < 1e-9:
        return float(found.pvalue)
    return float(f.sf((n - 1) * chi2 / slack, k - 1, (k - 1) * (n - 1)))
