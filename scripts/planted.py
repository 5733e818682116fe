"""Copies of ganbench with a regression planted in their code, for scripts/perf_evidence.py.

Each copy is the package as it is here with a line or two changed, as a commit might change them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import ganbench

__all__ = ["EXTRA", "PLANTS", "Plant", "plant"]

PACKAGE = Path(ganbench.__file__).parent


@dataclass(frozen=True, slots=True)
class Plant:
    """Edits (file, old text, new text), the metric that must name it, and flags of the run."""

    what: str
    metric: str
    edits: tuple[tuple[str, str, str], ...]
    flags: tuple[str, ...] = ()


_PLAY = '''        """One step by `rule`."""
'''
# Networks so small that what surrounds them counts.
_SMALL = ("--generator", "mlp:hidden=[64]", "--discriminator", "mlp:hidden=[64]", "--device", "cpu")


def _before_step(code: str) -> tuple[str, str, str]:
    return ("game.py", _PLAY, f"{_PLAY}        {code}\n")


EXTRA = """
        with torch.no_grad():
            torch.ones({rows}, 256) @ self.discriminator.parameters[0][:256, :256]
"""


def extra_work(rows: int) -> Plant:
    """One product more in each step: of `rows` examples with a part of D's weights."""
    edit = _before_step(EXTRA.format(rows=rows).strip())
    return Plant(f"a product of {rows} x 256 numbers with D's weights", "throughput", (edit,))


PLANTS = {
    "item": Plant(
        "each gradient's norm read by .item() in the step",
        "throughput",
        (
            (
                "player.py",
                "    def update(self) -> None:\n",
                "    def update(self) -> None:\n"
                "        self.norms = [p.grad.norm().item() for p in self.parameters]\n",
            ),
        ),
        _SMALL,
    ),
    "dataloader": Plant(
        "batches collated example by example, as a DataLoader does",
        "throughput",
        (
            (
                "feed.py",
                "to_float(self._x.index_select(0, piece))",
                "to_float(torch.utils.data.default_collate([self._x[i] for i in piece.tolist()]))",
            ),
        ),
        _SMALL,
    ),
    "fused": Plant(
        "Adam without fused=True",
        "throughput",
        (("builtin/optimizers.py", "fused=True", "foreach=False"),),
    ),
    "frozen": Plant(
        "D is not frozen while G's gradient is taken",
        "throughput",
        (
            (
                "player.py",
                "        for parameter in self.parameters:\n"
                "            parameter.requires_grad_(False)\n",
                "",
            ),
        ),
    ),
    "leak": Plant(
        "1 MB kept at every step",
        "memory_growth",
        (
            _before_step(
                "self.kept = [*getattr(self, 'kept', []), torch.ones(250_000)]  # 1 MB of floats"
            ),
        ),
    ),
}


def plant(one: Plant, folder: Path) -> Path:
    """Copy the package into `folder`, edited. Ends the script if a text to change is not there."""
    target = folder / "ganbench"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in one.edits:
        path = target / name
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise SystemExit(f"{name} no longer has the text that is to be changed: {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")
    return folder
