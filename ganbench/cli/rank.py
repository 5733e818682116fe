"""`ganbench rank`: which is better, and what the evidence does not support."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["rank"]


def rank(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Results folder.", show_default=True)
    ] = Path("results"),
    by: Annotated[
        str, typer.Option(metavar="KEY[,KEY…]", help="Settings whose values are compared.")
    ] = "loss",
    metric: Annotated[str, typer.Option(metavar="NAME", help="What is compared.")] = "fid",
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only runs with this setting; repeatable."),
    ] = None,
    alpha: Annotated[
        float, typer.Option(metavar="P", help="Chance of any false claim that is accepted.")
    ] = 0.05,
    higher_is_better: Annotated[
        bool | None,
        typer.Option("--higher/--lower", help="Which is better, for a metric of a plugin."),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(metavar="VALUE", help="Also the training time until the metric is as good."),
    ] = None,
    unit: Annotated[
        str, typer.Option(metavar="s|kimg|step", help="Of that time.", show_default=True)
    ] = "s",
    cap: Annotated[
        float, typer.Option(metavar="RATIO", help="Times the best at which a time is a miss.")
    ] = 4.0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The ranks as .csv, .md or .tex.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Critical-difference diagram: .png, .pdf or .svg."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")] = False,
) -> None:
    """Rank losses, optimizers or any settings over seeds, and say who can be told apart.

    Runs are paired: each block holds one run of every value compared, with all
    other settings and the seed the same. A run that diverged has the worst rank.

    Examples:

      ganbench rank --by loss --metric fid

      ganbench rank --by opt --where loss=hinge --plot ranks.png

      ganbench rank --by loss,opt --target 30 --unit kimg
    """
    from ganbench.cli.frames import (
        check_table_file,
        json_text,
        parse_list,
        parse_where,
        save_frame,
    )
    from ganbench.cli.table import summaries_of
    from ganbench.stats.draw import check_picture, draw_ranking
    from ganbench.stats.ranks import rank as rank_sample
    from ganbench.stats.sample import sample_of
    from ganbench.stats.times import UNITS, profile_of
    from ganbench.stats.words import sentences

    if out:
        check_table_file(out)
    if plot:
        check_picture(plot)
    if unit not in UNITS:
        from ganbench.errors import unknown

        raise unknown("unit", unit, UNITS)
    keys = parse_list(by)
    sample = sample_of(
        summaries_of(folder),
        metric,
        where=parse_where(where or []),
        higher_is_better=higher_is_better,
    )
    ranking = rank_sample(sample, keys, alpha)
    profile = None
    if target is not None:
        profile = profile_of(sample, keys, target, unit, cap)  # type: ignore[arg-type]
    notes = [*sample.notes, *ranking.blocks.notes]
    said = sentences(ranking)
    if out:
        save_frame(ranking.table, out, [*notes, *said])
    if plot:
        draw_ranking(ranking, plot, profile)
    if as_json:
        told: dict[str, Any] = {"metric": metric, "by": keys, **ranking.as_dict()}
        told["notes"], told["sentences"] = notes, said
        if profile is not None:
            rows = profile.table.to_dict("records")
            told["time_to_target"] = {"target": target, "unit": unit, "cap": cap, "table": rows}
        print(json_text(told))
        return
    better = "higher" if sample.higher_is_better else "lower"
    print(_text(ranking, metric, better))
    for note in notes:
        print(f"Note: {note}.")
    print()
    for line in said:
        print(f"{line}.")
    if profile is not None:
        print(f"\n{_profile_text(profile, metric, target, unit)}")
    for path in filter(None, (out, plot)):
        print(f"\nwritten: {path}")


def _text(ranking: Any, metric: str, better: str) -> str:
    from ganbench.tables import to_markdown

    blocks, extra = ranking.blocks, ""
    if len(blocks.treatments) > 2:
        extra = (
            f"; Nemenyi's critical difference of mean ranks is {ranking.critical_difference:.2f}"
        )
    table = ranking.table.rename(columns={"median": f"median {metric}", "mean_rank": "mean rank"})
    head = f"By {metric} ({better} is better), {len(blocks)} blocks, {blocks.seeds} seeds{extra}."
    return f"{head}\n\n{to_markdown(table)}\n"


def _profile_text(profile: Any, metric: str, target: float | None, unit: str) -> str:
    from ganbench.tables import to_markdown

    table = profile.table.copy()
    table["median_time"] = table["median_time"].map(lambda t: "miss" if t == float("inf") else t)
    table = table.rename(columns={"median_time": f"median time ({unit})"})
    head = (
        f"Time to {metric} {target:g}, evaluation untimed. The score is the area under the "
        f"performance profile up to {profile.cap:g} times the best of the block."
    )
    return f"{head}\n\n{to_markdown(table)}"
