"""One run of several ranks: rank 0 leads, reports and writes; the others play along in silence."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ganbench import devices
from ganbench.checkpoint import weights_sha256
from ganbench.distributed.batch_norm import batch_norms
from ganbench.distributed.board import Board, RankLost
from ganbench.distributed.check import refuse_declared, verify
from ganbench.distributed.game import TeamGame, TeamTraining
from ganbench.distributed.team import Team, device_of
from ganbench.errors import GanbenchError, UsageError
from ganbench.execution import Run
from ganbench.game import Game, build_game
from ganbench.interrupts import stop_requests
from ganbench.launch import Launch, launch
from ganbench.plan import Plan
from ganbench.protocols import Data, Tracker
from ganbench.record import Evaluated, RunRecord, Status, Throughput
from ganbench.streams import isolated
from ganbench.training import Training

__all__ = ["LeaderFailed", "follow", "leading", "report_failure"]

_TO_ARRIVE_S = 600.0
_TO_EXPLAIN_S = 5.0
_TO_ANSWER_S = 15.0

Execute = Callable[..., RunRecord]


class LeaderFailed(GanbenchError):
    """Rank 0 ended with an error, which it has told."""


class RankFailed(GanbenchError):
    """Another rank ended with an error."""


class _There(Exception):
    """The traceback of another rank."""


class TeamRun(Run):
    """A run whose game is played by a team."""

    team: Team
    facts: dict[str, Any]

    def _build(self, data: Data) -> Game:
        return self._game(self.plan, data)

    def _game(self, plan: Plan, data: Data) -> Game:
        make = partial(TeamGame, team=self.team, sync_batch_norm=plan.spec.sync_batch_norm)
        return build_game(plan, data, self.device, make=make)

    def _training(self, *args: Any) -> Training:
        return TeamTraining(self.team, *args)

    def _rehearse(self, data: Data, extractor: nn.Module | None) -> float:
        refuse_declared(self.plan)
        verify(self.plan, data, self._game, lambda plan, few: build_game(plan, few, self.device))
        return self.team.total(super()._rehearse(data, extractor))

    def _resume(self, training: Training) -> float:
        elapsed_s = super()._resume(training)
        if not self.team.all_equal(training.game.step):
            raise UsageError(
                "some ranks see a checkpoint of this run and others do not: --out must be on a "
                "file system that all machines share"
            )
        return elapsed_s

    def _train(self, training: Training, *callbacks: Any) -> Status:
        status = super()._train(training, *callbacks)
        game = training.game
        digest = weights_sha256({"both": _Parameters(game)})
        self.facts = {
            "ranks": self.team.size,
            "backend": self.team.backend,
            "ranks_agree": self.team.all_equal(int(digest[:12], 16)),
        }
        if batch_norms(game.generator.module, game.discriminator.module):
            together = self.plan.spec.sync_batch_norm
            self.facts["batch_norm"] = "synchronised" if together else "of each rank"
        self.team.leave()
        return status

    def _throughput(self, *args: Any) -> Throughput | None:
        alone = super()._throughput(*args)
        if alone is None:
            return None
        rate, size = alone.matmul_gflops_per_s, self.team.size
        share = alone.fraction_of_peak / size
        # A rank can't tell its peers' load from that of others.
        of_all = {"matmul_gflops_per_s": rate * size, "fraction_of_peak": share}
        return alone.model_copy(update={**of_all, "timing_valid": None})

    def _environment(self) -> dict[str, Any]:
        return {**super()._environment(), **self.facts}


class Follower(TeamRun):
    """Plays along: no extractor, no evaluation, nothing written."""

    def play_along(self) -> None:
        data: Data = self.plan.data.create(self.plan.spec.data_root)
        _, training, _ = self._begin(data, None)
        self._train(training, lambda: 0.0, lambda: None)

    def _measure(self, *args: Any) -> Evaluated | None:
        return None

    def _save(self, training: Training, elapsed_s: float) -> None:
        pass


class _Parameters(nn.Module):
    """Both players' parameters, without the buffers, in which ranks may differ."""

    def __init__(self, game: Game) -> None:
        super().__init__()
        parameters = [p for player in game.players for p in player.module.parameters()]
        self.all = nn.ParameterList(parameters)


@contextmanager
def leading(plan: Plan) -> Iterator[tuple[Execute, Callable[[RunRecord], None]]]:
    """For rank 0: what to execute the plan with, and how to tell the others the record.

    An error in the body is told to them too.
    """
    board = Board()
    try:
        with stop_requests():
            yield (
                partial(_lead, board),
                lambda record: board.post("end", {"record": record.model_dump_json()}),
            )
    except BaseException as error:
        board.post("end", {"error": str(error)})
        raise


def _lead(
    board: Board, plan: Plan, folder: Path, checkpoints: Path, *, trackers: Sequence[Tracker] = ()
) -> RunRecord:
    place = launch()
    board.post("start", {"spec_sha256": plan.spec_sha256})
    for rank in range(1, place.size):
        word = board.wait(f"ready/{rank}", f"failed/{rank}", for_s=_TO_ARRIVE_S)
        if word is None:
            raise RankLost(f"rank {rank} did not arrive within {_TO_ARRIVE_S:.0f} s")
        _raise_failure(board, place)
    try:
        with _playing(plan, board, place) as (device, team), isolated():
            run = TeamRun(plan, folder, checkpoints, device, trackers)
            run.team = team
            return run.execute()
    except RankLost:
        names = [f"failed/{rank}" for rank in range(1, place.size)]
        board.wait(*names, for_s=_TO_EXPLAIN_S)
        _raise_failure(board, place)
        raise


def follow(plan: Plan, checkpoints: Path) -> RunRecord:
    """For the other ranks: play along, and return rank 0's record.

    Raises `LeaderFailed` if rank 0 told of an error, be it this rank's own.
    """
    board, place = Board(), launch()
    name, word = board.wait("start", "end") or ("", {})
    if name == "end":
        return _record_of(word)
    try:
        if word["spec_sha256"] != plan.spec_sha256:
            raise UsageError("it would run another spec: are the packages' versions the same?")
        board.post(f"ready/{place.rank}", {})
        with _playing(plan, board, place) as (device, team), isolated():
            run = Follower(plan, Path(), checkpoints, device, ())
            run.team = team
            run.play_along()
    except RankLost:
        pass  # what rank 0 says of it counts
    except Exception as error:
        report_failure(error, board)
        raise
    return _record_of((board.wait("end") or ("", {}))[1])


def report_failure(error: Exception, board: Board | None = None) -> None:
    """For the other ranks: tell rank 0 of an error.

    Raises `LeaderFailed` once rank 0 has told the user; returns if it is not there to do so.
    """
    board = board or Board()
    word = {
        "message": str(error),
        "type": type(error).__name__,
        "usage": isinstance(error, UsageError),
        "explained": isinstance(error, GanbenchError),
        "traceback": traceback.format_exc(),
    }
    board.post(f"failed/{launch().rank}", word)
    answer = board.wait("end", for_s=_TO_ANSWER_S)
    if answer is not None:
        raise LeaderFailed(str(answer[1].get("error", error))) from error


@contextmanager
def _playing(plan: Plan, board: Board, place: Launch) -> Iterator[tuple[torch.device, Team]]:
    """The body's device, set up, and its team, which is left at the end."""
    device = device_of(plan.spec.device, place)
    cores = max(1, devices.usable_cores() // place.local_size)
    devices.set_up(device, plan.spec.threads or cores, plan.spec.precision, plan.spec.onednn)
    team = Team(place, device, board)
    try:
        yield device, team
    finally:
        team.leave()


def _raise_failure(board: Board, place: Launch) -> None:
    """Raise what another rank told of, if any did."""
    for rank in range(1, place.size):
        word = board.read(f"failed/{rank}")
        if word is None:
            continue
        there = _There(f"\n{word['traceback']}")
        if word["usage"]:
            raise UsageError(f"rank {rank}: {word['message']}") from there
        kind = "" if word["explained"] else f"{word['type']}: "
        raise RankFailed(f"rank {rank}: {kind}{word['message']}") from there


def _record_of(word: dict[str, Any]) -> RunRecord:
    if "record" not in word:
        raise LeaderFailed(str(word.get("error", "rank 0 is gone")))
    return RunRecord.model_validate_json(word["record"])
