"""Packages as pip would leave them in a folder, without pip."""

from __future__ import annotations

from pathlib import Path

__all__ = ["fake_package"]


def fake_package(
    site: Path,
    module: str,
    source: str,
    *,
    name: str | None = None,
    version: str = "1.2",
    entry_points: str | None = None,
    metadata: bool = True,
) -> None:
    """Write a module and a dist-info folder with an entry point of group ganbench into `site`."""
    site.mkdir(exist_ok=True)
    name = name or module.replace("_", "-")
    (site / f"{module}.py").write_text(source, encoding="utf-8")
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    if metadata:
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
    if entry_points is None:
        entry_points = f"{module} = {module}"
    (info / "entry_points.txt").write_text(f"[ganbench]\n{entry_points}\n", encoding="utf-8")
