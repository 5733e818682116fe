"""A history as a picture: a panel for each series, its levels, and where they change."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from ganbench.errors import GanbenchError, UsageError
from ganbench.files import write_atomically
from ganbench.history.series import Series, sort_of

__all__ = ["check_picture", "draw_history"]

_SUFFIXES = (".png", ".svg", ".pdf")
_COLOURS = {"worse": "tab:red", "better": "tab:green", "changed": "tab:orange"}
_WIDTH, _PANEL = 9.0, 2.2  # inches
_MOST_TICKS = 12


def check_picture(path: Path) -> None:
    """Raise `UsageError` unless the picture's name has a suffix that can be drawn."""
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"--out is '{path}', but must end in {', '.join(_SUFFIXES)}")


def draw_history(history: Sequence[Series], path: Path) -> None:
    """Draw every series, commits from old to new. Raises `GanbenchError` if it can't be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_picture(path)
    figure = Figure(figsize=(_WIDTH, _PANEL * len(history)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(history), 1, squeeze=False)[:, 0]
    for panel, series in zip(panels, history, strict=True):
        _draw(panel, series)
    try:
        write_atomically(path, lambda file: figure.savefig(file, dpi=120))
    except OSError as error:
        raise GanbenchError(f"'{path}' can't be written: {error.strerror}") from error


def _draw(axes: Any, series: Series) -> None:
    values = series.values
    axes.plot(range(len(values)), values, "o-", color="0.6", markersize=3, linewidth=0.8)
    edges = [0, *(change.index for change in series.changes), len(values)]
    for start, end in pairwise(edges):
        axes.plot([start, end - 1], [median(values[start:end])] * 2, color="tab:blue", linewidth=2)
    for change in series.changes:
        colour = _COLOURS[sort_of(change, series.metric)]
        axes.axvline(change.index, color=colour, linestyle="--")
        label = f"{100 * (change.ratio - 1):+.1f} %"
        axes.annotate(
            label,
            (change.index, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -12),
            textcoords="offset points",
            color=colour,
        )
    every = -(-len(values) // _MOST_TICKS)
    ticks = range(0, len(values), every)
    labels = [series.rows[tick].commit[:7] for tick in ticks]
    axes.set_xticks(list(ticks), labels, rotation=30, fontsize=7)
    axes.set_title(f"{series.case}: {series.metric}", fontsize=9)
    axes.set_ylabel(series.unit or series.metric)
