"""Installations that start at once: a ganbench and a torch of a few lines, whose step is a sum.

`ganbench perf` sends its worker to whatever a side has installed, so these are measured through the
same processes, pipes and forks as the real ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ganbench.perf.installations import Installation

FILES = {
    "torch/__init__.py": """
__version__ = "{torch}"
class device:
    type = "cpu"
    def __init__(self, name): pass
def set_num_threads(n): pass
def get_num_threads(): return 1
class backends:
    class cpu:
        get_cpu_capability = staticmethod(lambda: "AVX2")
""",
    "ganbench/__init__.py": "__version__ = '{version}'",
    "ganbench/registry.py": "def default_registry(): return None",
    "ganbench/streams.py": """
import contextlib
isolated = contextlib.nullcontext
""",
    "ganbench/devices.py": """
def set_up(*_): pass
def synchronize(device): pass
def reset_peak_memory(device): pass
def peak_memory_bytes(device): return {peak}
""",
    "ganbench/spec.py": """
class Refused(Exception): exit_code = 2
class RunSpec:
    device, precision, data_root = "cpu", "fp32", None
    def __init__(self, **settings):
        if settings.get("loss", "nonsat") not in {losses!r}:
            raise Refused("no loss " + repr(settings["loss"]))
""",
    "ganbench/plan.py": """
class Data:
    def create(self, root): return None
class Rule:
    def create(self): return None
class Plan:
    data, rule = Data(), Rule()
    def __init__(self, spec): self.spec = spec
    def parts(self): return {{}}
def make_plan(spec, registry): return Plan(spec)
""",
    "ganbench/game.py": """
import os, signal, time
{at_import}
class Player:
    class module:
        parameters = staticmethod(list)
class Game:
    generator = discriminator = Player
    step = nimg = 0
    def play(self, rule):
        self.step += 1
        self.nimg += {images}
        {before_step}
        sum(range({work}))
def build_game(plan, data, device): return Game()
""",
}


def write_installation(
    folder: Path,
    side: str = "base",
    *,
    work: int = 4000,
    torch: str = "2.0",
    version: str = "1.0",
    peak: str = "400_000_000",
    losses: tuple[str, ...] = ("nonsat",),
    images: int = 128,
    at_import: str = "",
    before_step: str = "",
) -> Installation:
    """An installation whose step sums `work` numbers."""
    values = {
        "work": work,
        "torch": torch,
        "version": version,
        "peak": peak,
        "losses": losses,
        "images": images,
        "at_import": at_import,
        "before_step": before_step,
    }
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(**values))
    return Installation(side, Path(sys.executable), (folder,), folder.name)  # type: ignore[arg-type]
