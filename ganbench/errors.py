"""Errors that a person reads: what was wrong, the value, what is allowed, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CannotWrite",
    "GanbenchError",
    "IncompatibleParts",
    "UsageError",
    "nearest",
    "unknown",
]


class GanbenchError(Exception):
    """Something ganbench can explain. The shell prints the message alone and exits with 1."""

    exit_code = 1


class CannotWrite(GanbenchError):
    """A run's files can't be written: no space, no permission, a broken disk."""


class UsageError(GanbenchError):
    """The request itself is wrong. Nothing was written. The shell exits with 2."""

    exit_code = 2


class IncompatibleParts(UsageError):
    """Each part is fine, but they do not work together."""


def nearest(value: str, allowed: Iterable[str]) -> str:
    """`; did you mean 'nonsat'?` when something close is allowed, else the empty string."""
    names = list(allowed)
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(value.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


def unknown(what: str, value: str, allowed: Iterable[str], remedy: str = "") -> UsageError:
    """A UsageError for a name that is not among the allowed ones."""
    names = sorted(allowed)
    listed = ", ".join(names) if len(names) <= 30 else ", ".join(names[:30]) + ", …"
    message = f"no {what} '{value}'{nearest(value, names)}"
    message += f"{'' if message.endswith('?') else '.'} Known: {listed or 'none'}."
    return UsageError(f"{message} {remedy}".rstrip())
