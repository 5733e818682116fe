"""How a component is written: `name:key=value,key=value`, and losses joined by `+`.

A value is a TOML value; a bare word is a string: `adam:lr=2e-4,betas=[0.5,0.999]`. `dist/name`
picks between two packages that register one name.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ganbench.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same parser under its older name
    import tomli as tomllib

__all__ = [
    "Component",
    "format_component",
    "format_sum",
    "is_name",
    "parse_component",
    "parse_sum",
    "split_list",
]

_NAME = re.compile(r"(?:[A-Za-z0-9][\w.\-]*/)?[A-Za-z][\w.\-]*")
_KEY = re.compile(r"[A-Za-z_]\w*")
_OPTION = re.compile(r"\s*[A-Za-z_]\w*\s*=")
_BARE_WORD = re.compile(r"[A-Za-z_][\w.\-/]*")
_BARE_FLOATS = re.compile(r"[+-]?(?:\d+\.|\.\d+|\d+\.?[eE][+-]?\d+|\.\d+[eE][+-]?\d+)")
_NESTING = {"[": 1, "]": -1, "{": 1, "}": -1}


@dataclass(frozen=True, slots=True)
class Component:
    """A component's name and the options given for it."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return format_component(self.name, self.options)


def parse_sum(text: str) -> tuple[Component, ...]:
    """Parse `a:x=1+b` into its components, in order."""
    return tuple(parse_component(part) for part in _split(text, "+"))


def split_list(text: str) -> list[str]:
    """Split `fid,kid:subsets=10,mmd` into components: a comma before `key=` continues the options
    of the component before it."""
    parts: list[str] = []
    for piece in _split(text, ","):
        if parts and ":" in parts[-1] and _OPTION.match(piece):
            parts[-1] += "," + piece
        else:
            parts.append(piece)
    return [part.strip() for part in parts]


def parse_component(text: str) -> Component:
    """Parse one `name:key=value,...`."""
    name, colon, rest = text.strip().partition(":")
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{text}' is not a component: write name or name:key=value,key=value")
    if colon and not rest.strip():
        raise UsageError(f"'{text}' ends in a colon: give options as {name}:key=value, or drop it")
    options: dict[str, Any] = {}
    for item in _split(rest, ",") if rest.strip() else ():
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals or not _KEY.fullmatch(key):
            raise UsageError(f"option '{item.strip()}' of '{name}' is not key=value")
        if key in options:
            raise UsageError(f"option '{key}' of '{name}' is given twice")
        options[key] = _parse_value(value.strip(), f"option '{key}' of '{name}'")
    return Component(name, options)


def is_name(text: str) -> bool:
    """Whether a component can have this name."""
    return "/" not in text and _NAME.fullmatch(text) is not None


def format_sum(components: tuple[Component, ...]) -> str:
    """The canonical text of a sum; `parse_sum` reads it back."""
    return "+".join(map(str, components))


def format_component(name: str, options: Mapping[str, Any]) -> str:
    """The canonical text of a component; `parse_component` reads it back."""
    items = ",".join(f"{key}={_format_value(value)}" for key, value in options.items())
    return f"{name}:{items}" if items else name


def _split(text: str, separator: str) -> Iterator[str]:
    """Split outside quotes and brackets. A `+` that begins a number (`1e+3`) does not split."""
    depth, quote, start, i = 0, "", 0, 0
    while i < len(text):
        char = text[i]
        if quote:
            if char == "\\" and quote == '"':
                i += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in _NESTING:
            depth += _NESTING[char]
        elif char == separator and depth == 0 and not _in_number(text, i):
            yield text[start:i]
            start = i + 1
        i += 1
    yield text[start:]


def _in_number(text: str, i: int) -> bool:
    return text[i] == "+" and text[i + 1 : i + 2].isdigit()


def _parse_value(text: str, where: str) -> Any:
    if _BARE_FLOATS.fullmatch(text):  # `1.`, `.5` and `1.e3`, which TOML spells with more digits
        return float(text)
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if _BARE_WORD.fullmatch(text):
            return text
    raise UsageError(
        f"{where} has the value '{text}', which is not a TOML value: "
        'write a number, true, false, a [list], a bare word or a "quoted string"'
    )


def _format_value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            return str(value)
        case int() | float():
            return repr(value)
        case str():
            reserved = value in ("true", "false", "inf", "nan")
            bare = _BARE_WORD.fullmatch(value) and not reserved
            return value if bare else _quoted(value)
        case list() | tuple():
            return "[" + ",".join(_format_element(item) for item in value) + "]"
        case Mapping():
            items = (f"{_quoted(str(k))}={_format_element(v)}" for k, v in value.items())
            return "{" + ",".join(items) + "}"
    raise UsageError(
        f"an option's value must be a TOML value, not {type(value).__name__}: {value!r}"
    )


def _format_element(value: Any) -> str:
    """Inside a list or table a bare word is not TOML, so strings are quoted."""
    return _quoted(value) if isinstance(value, str) else _format_value(value)


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes, and one more for the control character it leaves."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
