"""Runs on several ranks, started by torchrun from test_distributed.py: `ranks.py CASES.json OUT`.

Each rank writes what it saw of each case to OUT/seen-RANK.json.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import ganbench
from ganbench.errors import GanbenchError
from ganbench.game import Game
from ganbench.launch import launch
from ganbench.spec import RunSpec

PLAY = Game.play


def troubled(trouble: str, rank: int, at_step: int) -> Any:
    """Game.play, which on one rank meets trouble at one step."""

    def play(game: Game, rule: Any) -> Any:
        if launch().rank == rank and game.step == at_step and len(game.feed._x) > 200:
            if trouble == "stop":
                os.kill(os.getpid(), signal.SIGTERM)
            if trouble == "error":
                raise ZeroDivisionError("boom")
        return PLAY(game, rule)

    return play


def main(cases: dict[str, Any], out: Path) -> None:
    seen = {}
    for name, case in cases.items():
        Game.play = troubled(*case["trouble"]) if case.get("trouble") else PLAY
        try:
            record = ganbench.run(
                RunSpec(**case["spec"]), out / name, force=case.get("force", False)
            )
            seen[name] = {"record": json.loads(record.model_dump_json())}
        except GanbenchError as error:
            seen[name] = {"error": str(error), "type": type(error).__name__}
    (out / f"seen-{launch().rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
