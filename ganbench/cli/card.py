"""`ganbench card`: does a loss, under an optimizer and a rule, converge where it can be proven?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ganbench.card import Card

__all__ = ["card"]

_WIDTH = 100  # of a table that is not printed to a terminal


def card(
    loss: Annotated[
        str, typer.Option(metavar="NAME[+NAME…]", help="Loss; terms add with +.")
    ] = "nonsat",
    opt: Annotated[str, typer.Option(metavar="NAME", help="Optimizer of both players.")] = "adam",
    opt_g: Annotated[
        str | None, typer.Option(metavar="NAME", help="The generator's optimizer.")
    ] = None,
    opt_d: Annotated[
        str | None, typer.Option(metavar="NAME", help="The discriminator's optimizer.")
    ] = None,
    rule: Annotated[str, typer.Option(metavar="NAME", help="Update rule.")] = "alternating",
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of each path.")] = 600,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The picture: .png, .pdf or .svg.")
    ] = Path("card.png"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the card as JSON, and nothing else.")
    ] = False,
) -> None:
    """Play three games that are solved on paper and say how the parts behave there.

    Each game's verdict (converges, orbits, diverges) stands beside the rate per step that the
    update's Jacobian predicts at the equilibrium, and the one measured. The paths are drawn.

    Examples:

      ganbench card --loss nonsat --opt sgd:lr=0.1

      ganbench card --loss minimax+r1:gamma=1 --opt sgd:lr=0.2 --rule simultaneous

      ganbench card --loss wgan --opt omd:lr=0.3 --rule simultaneous --out omd.pdf
    """
    import warnings

    from ganbench.card import make_card
    from ganbench.card.draw import check_picture_path, draw_card

    check_picture_path(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about parts that the user did not write
        made = make_card(loss, opt, rule, opt_g=opt_g, opt_d=opt_d, steps=steps)
        draw_card(made, out)
    if as_json:
        import json

        print(json.dumps({**made.as_dict(), "picture": str(out)}, indent=2))
    else:
        _print_table(made)
        print(f"picture: {out}")


def _print_table(made: Card) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    title = escape(made.title)
    table = Table(title=title, title_style="bold", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("game")
    for name in ("predicted rate", "measured rate"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    table.add_column("remark", overflow="fold")
    for game in made.games:
        rates = (_rate(game.predicted_rate), _rate(game.measured_rate))
        name = game.name if game.loss == made.loss else f"{game.name} ({game.loss})"
        cells = (name, *rates, game.verdict or "not played", game.remark)
        table.add_row(*map(escape, cells))
    console.print(table)
    for line in _reasons(made):
        console.print(line, markup=False, soft_wrap=True)


def _rate(rate: float | None) -> str:
    return "—" if rate is None else f"{rate:.5f}"


def _reasons(made: Card) -> list[str]:
    """Why some rates are not predicted, each reason once."""
    games: dict[str, list[str]] = {}
    for game in made.games:
        if game.linear.reason:
            games.setdefault(game.linear.reason, []).append(game.name)
    return [f"no predicted rate ({', '.join(names)}): {why}" for why, names in games.items()]
