"""Pictures: the critical-difference diagram, and performance profiles below it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ganbench.errors import GanbenchError, UsageError
from ganbench.files import write_atomically
from ganbench.stats.ranks import Ranking
from ganbench.stats.times import Profile

__all__ = ["check_picture", "draw_ranking"]

_SUFFIXES = (".png", ".pdf", ".svg")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")
_DASHES = ("-", "--", "-.", ":")


def check_picture(path: Path) -> None:
    """Raise `UsageError` unless a picture can be drawn into a file of that name."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"'{path}' is no name for a picture: let it end in {', '.join(_SUFFIXES)}")
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder: name a file in it")


def draw_ranking(ranking: Ranking, path: Path, profile: Profile | None = None) -> None:
    """Mean ranks on a line, a bar over those that can't be told apart (Demšar 2006, figure 1)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    k = len(ranking.table)
    height = 1.2 + 0.28 * k
    with rc_context({"font.size": 9, "svg.fonttype": "none"}):
        figure = Figure(figsize=(7.2, height + (3.2 if profile else 0)), layout="constrained")
        ratios = [height, 3.2] if profile else [1]
        panels: Any = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)
        _draw_ranks(panels[0, 0], ranking)
        if profile:
            _draw_profile(panels[1, 0], profile)
        try:
            write_atomically(path, lambda to: figure.savefig(to, dpi=160))
        except OSError as error:
            raise GanbenchError(f"'{path}' can't be written: {error.strerror}") from error


def _draw_ranks(axes: Any, ranking: Ranking) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries below, about each other
        from scikit_posthocs import critical_difference_diagram

        ranks = dict(zip(ranking.table["treatment"], ranking.table["mean_rank"], strict=True))
        critical_difference_diagram(
            ranks,
            ranking.p_values(),
            alpha=ranking.alpha,
            ax=axes,
            label_props={"fontsize": 9},
            color_palette=dict.fromkeys(ranks, "#222222"),
        )
    blocks = ranking.blocks
    axes.set_title(
        f"mean rank over {len(blocks)} blocks, {blocks.seeds} seeds; a bar joins what can't be "
        "told apart",
        fontsize=9,
    )


def _draw_profile(axes: Any, profile: Profile) -> None:
    tau = np.linspace(1, profile.cap, 400)
    for i, name in enumerate(profile.table["treatment"]):
        style = {"color": _COLOURS[i % 7], "ls": _DASHES[i // 7 % 4], "lw": 1.4}
        axes.step(tau, profile.share_within(name, tau), where="post", label=name, **style)
    axes.set(xlim=(1, profile.cap), ylim=(0, 1.02))
    axes.set_xlabel("time to target, over the best of the block")
    axes.set_ylabel("share of blocks")
    axes.grid(color="0.92")
    axes.legend(frameon=False, fontsize=8)
