"""Settings from a file or preset, then `--set`, then flags: later ones win."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from ganbench.errors import UsageError, unknown
from ganbench.spec import RunSpec

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same parser under its older name
    import tomli as tomllib

__all__ = ["make_spec", "preset_names", "read_settings"]


def make_spec(config: str | None, assignments: Sequence[str], flags: Mapping[str, Any]) -> RunSpec:
    """The spec of a command line. What nobody set stays unset, so that the chosen data set and
    optimizers can suggest it."""
    given = {key: value for key, value in flags.items() if value is not None}
    return RunSpec(**read_settings(config, assignments) | _spread_opt(given))


def read_settings(config: str | None, assignments: Sequence[str]) -> dict[str, Any]:
    """The settings of a file or preset, and over them those of `--set`."""
    settings = _spread_opt(_read_config(config)) if config is not None else {}
    return settings | _spread_opt(dict(_parse_assignment(text) for text in assignments))


def preset_names() -> list[str]:
    """The presets that --config takes beside files."""
    folder = files("ganbench") / "presets"
    return sorted(
        p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")
    )


def _spread_opt(layer: Mapping[str, Any]) -> dict[str, Any]:
    """`opt` means both players' optimizers, so it also overrides either one of a layer below."""
    rest = {key: value for key, value in layer.items() if key != "opt"}
    if "opt" not in layer:
        return rest
    return {"opt_g": layer["opt"], "opt_d": layer["opt"]} | rest


def _read_config(config: str) -> dict[str, Any]:
    text = _config_text(config)
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"config '{config}' is not TOML: {error}") from None
    for key in settings:
        _check_key(key, f"(in config '{config}')")
    return settings


def _config_text(config: str) -> str:
    presets = preset_names()
    path = Path(config)
    if config in presets:
        return (files("ganbench") / "presets" / f"{config}.toml").read_text(encoding="utf-8")
    if not path.exists() and path.name == config and path.suffix != ".toml":
        raise unknown("preset", config, presets, "Or give the path of a TOML file.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"config '{config}' is not TOML: it is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(
            f"config '{config}' can't be read: {error.strerror}. Give a TOML file, or a preset: "
            f"{', '.join(presets)}"
        ) from None


def _parse_assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals:
        raise UsageError(f"--set '{text}' is not key=value, such as --set steps=500")
    _check_key(key, "(in --set)")
    return key, parse_value(value.strip())


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself: components and paths need no quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _check_key(key: str, where: str) -> None:
    if key not in RunSpec.settable():
        raise unknown("setting", key, RunSpec.settable(), where)
