"""A card's picture: above, the paths in the plane of both players; below, their distance to the
equilibrium."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganbench.card.make import Card, GameResult
from ganbench.card.trajectories import Array, radius
from ganbench.errors import GanbenchError, UsageError
from ganbench.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check_picture_path", "draw_card"]

_SUFFIXES = (".png", ".pdf", ".svg")
_COLOURS = ("#009E73", "#0072B2", "#D55E00")  # Okabe & Ito 2008: apart for every kind of eye
_INK = "#222222"


def check_picture_path(path: Path) -> None:
    """Raise `UsageError` unless a picture can be drawn into a file of that name."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"'{path}' is no name for a picture: let it end in {', '.join(_SUFFIXES)}")
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder: name a file in it, such as {path / 'card.png'}")


def draw_card(card: Card, path: Path) -> None:
    """Write the picture: PNG at 160 dots per inch, PDF or SVG, by the suffix of `path`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 9, "axes.edgecolor": "0.6", "svg.fonttype": "none"}):
        figure = Figure(figsize=(3.6 * len(card.games), 6.4), layout="constrained")
        panels: Any = figure.subplots(2, len(card.games), squeeze=False, height_ratios=(3, 2))
        for column, game in enumerate(card.games):
            plane, distance = panels[:, column]
            if game.verdict is None:
                _say_why(plane, distance, game)
            else:
                _draw_plane(plane, game)
                _draw_distance(distance, game)
            plane.set_title(f"{game.title}\n{_caption(game)}", fontsize=9, color=_INK)
        panels[0, 0].set_ylabel("discriminator  ψ")
        panels[1, 0].set_ylabel("distance to the equilibrium")
        figure.suptitle(card.title, fontsize=11)
        try:
            write_atomically(path, lambda to: figure.savefig(to, dpi=160))
        except OSError as error:
            raise GanbenchError(f"'{path}' can't be written: {error.strerror}") from error


def _caption(game: GameResult) -> str:
    rate = game.predicted_rate
    said = "" if rate is None else f",  predicted rate {rate:.5f}"
    return f"{game.verdict or 'not played'}{said}"


def _draw_plane(axes: Axes, game: GameResult) -> None:
    if game.field is not None:
        _draw_field(axes, game.field, game.extent)
    for path, colour in zip(game.paths[1:], _COLOURS[1:], strict=False):
        axes.plot(path[:, 0], path[:, 1], color=colour, lw=0.9)
        axes.plot(*path[0], "o", color=colour, ms=5, mec="white", mew=0.6, zorder=4)
    axes.plot(0, 0, "+", color=_INK, ms=11, mew=1.6, zorder=5)
    axes.set(xlim=(-game.extent, game.extent), ylim=(-game.extent, game.extent), aspect="equal")
    axes.locator_params(nbins=5)
    axes.set_xlabel("generator  θ")


def _draw_field(axes: Axes, field: Array, extent: float) -> None:
    """Directions of both players' gradient descent, without lengths."""
    axis = np.linspace(-extent, extent, len(field))
    size = np.hypot(field[..., 0], field[..., 1])
    direction = field / np.where(size > 0, size, 1)[..., None]
    axes.quiver(
        axis, axis, direction[..., 0], direction[..., 1], color="0.8", pivot="mid", scale=26
    )


def _draw_distance(axes: Axes, game: GameResult) -> None:
    labels = ("started nearby", None, None)
    for path, colour, label in zip(game.paths, _COLOURS, labels, strict=True):
        axes.semilogy(_positive(radius(path)), color=colour, lw=1.1, label=label)
    if game.predicted_rate is not None:
        near = game.paths[0]
        steps = np.arange(len(near))
        with np.errstate(under="ignore", over="ignore"):
            predicted = radius(near)[0] * game.predicted_rate**steps
        axes.semilogy(_positive(predicted), color=_INK, lw=1, ls=(0, (4, 3)), label="predicted")
    axes.legend(frameon=False, loc="best", fontsize=8)
    lowest, highest = axes.get_ylim()
    axes.set_ylim(max(lowest, 1e-16), min(highest, 1e3))
    axes.set_xlabel("step")
    axes.grid(color="0.92")


def _positive(values: Array) -> Array:
    """Values that a logarithmic axis can show; gaps elsewhere."""
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _say_why(plane: Axes, distance: Axes, game: GameResult) -> None:
    plane.set_axis_off()
    distance.set_axis_off()
    why = textwrap.fill(game.remark, 38)
    plane.text(0.5, 0.5, why, ha="center", va="center", transform=plane.transAxes)
