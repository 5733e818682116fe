"""A table of statistics, on the screen or in a file whose name says how."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganbench.errors import GanbenchError, UsageError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_table_file", "json_text", "parse_list", "parse_where", "save_frame"]

_SUFFIXES = (".csv", ".md", ".tex")


def parse_list(text: str) -> list[str]:
    """`loss,opt` -> its parts."""
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_where(assignments: Sequence[str]) -> dict[str, str]:
    """`--where key=value …` -> what runs must agree with."""
    where = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--where is '{text}', but must be KEY=VALUE, such as data=digits")
        where[key.strip()] = value.strip()
    return where


def check_table_file(path: Path) -> None:
    """Raise `UsageError` unless a table can be written into a file of that name."""
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"'{path}' is no name for a table: let it end in {', '.join(_SUFFIXES)}")
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder: name a file in it")


def save_frame(frame: pd.DataFrame, path: Path, notes: Sequence[str] = ()) -> None:
    """Numbers in full in .csv, rounded in .md (with the notes below) and in .tex (booktabs)."""
    from ganbench.files import write_text
    from ganbench.tables import readable, to_markdown

    match path.suffix.lower():
        case ".csv":
            text = frame.to_csv(index=False, lineterminator="\n")
        case ".tex":
            text = (
                frame.map(readable)
                .style.format(escape="latex")
                .hide(axis="index")
                .to_latex(hrules=True)
            )
        case _:
            text = to_markdown(frame) + "\n" + "".join(f"\n- {note}" for note in notes)
            text = text.rstrip("\n") + "\n"
    try:
        write_text(path, text)
    except OSError as error:
        raise GanbenchError(f"'{path}' can't be written: {error.strerror or error}") from error


def json_text(value: Any) -> str:
    """JSON without NaN or Infinity: null stands where there is no number."""
    return json.dumps(_plain(value), indent=2)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value
