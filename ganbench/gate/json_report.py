"""A report as JSON, and back. What is infinite or no number is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ganbench.errors import GanbenchError
from ganbench.gate.report import Report, Row

__all__ = ["as_dict", "from_json", "to_json"]

FORMAT = "ganbench-report-1"
_NONE = {"low": -math.inf, "high": math.inf, "threshold": math.inf}  # what null means there


def as_dict(report: Report) -> dict[str, Any]:
    """`format`, `verdict`, `exit_code`, `problem`, `base`, `head`, `notes`, `rows`."""
    return {
        "format": FORMAT,
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "problem": report.problem,
        "base": dict(report.base),
        "head": dict(report.head),
        "notes": list(report.notes),
        "rows": [
            {key: _finite(value) for key, value in asdict(row).items()} for row in report.rows
        ],
    }


def to_json(report: Report) -> str:
    return json.dumps(as_dict(report), indent=2, default=str, allow_nan=False)


def from_json(text: str) -> Report:
    """The report that `to_json` wrote. Raises `GanbenchError` for any other text."""
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ValueError(f"format is {content['format']!r}, not {FORMAT}")
        rows = tuple(_row(values) for values in content["rows"])
        return Report(
            rows,
            content["verdict"],
            content["base"],
            content["head"],
            tuple(content["notes"]),
            content["problem"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise GanbenchError(f"not a report of ganbench compare or perf: {error!r}") from None


def _row(values: Mapping[str, Any]) -> Row:
    numbers = {key: _NONE.get(key, math.nan) for key, value in values.items() if value is None}
    return Row(**{**values, **numbers})


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
