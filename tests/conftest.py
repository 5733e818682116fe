"""What several test modules share."""

from __future__ import annotations

import logging
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from ganbench.cli import main
from ganbench.game import Game, build_game
from ganbench.plan import make_plan
from ganbench.protocols import Rule
from ganbench.registry import Registry, default_registry
from ganbench.spec import RunSpec
from ganbench.streams import isolated

# A shell's background job ignores Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, however slow the machine is at them. To look for new ones:
# pytest --hypothesis-profile explore.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", settings.get_profile("explore"), derandomize=True)
settings.load_profile("fixed")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws without a seed does not depend on the tests that came before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return default_registry()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _log_reaches_pytest() -> None:
    """A command run in this process takes ganbench's log for itself; each test gets it back."""
    logger = logging.getLogger("ganbench")
    logger.handlers.clear()
    logger.propagate = True


@pytest.fixture(scope="session")
def batch_norm_has_third_derivatives() -> bool:
    """Some versions of torch refuse them, others do not."""
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    y = torch.nn.functional.batch_norm(x, None, None, training=True)
    try:
        for _ in range(3):
            (y,) = torch.autograd.grad(y.pow(2).sum(), x, create_graph=True)
    except RuntimeError:
        return False
    return True


@pytest.fixture
def play(registry: Registry) -> Iterator[Callable[..., tuple[Game, Rule]]]:
    """play(**settings) -> the game and the rule of that spec, built through the registry."""

    def build(**settings: Any) -> tuple[Game, Rule]:
        plan = make_plan(RunSpec(**{"device": "cpu", **settings}), registry)
        game = build_game(plan, plan.data.create(None), torch.device("cpu"))
        return game, plan.rule.create()

    with isolated():
        yield build


@dataclass(frozen=True)
class Answer:
    """What a command line returned and printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def ganbench_cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """ganbench_cli(*args) -> what the command does, run in this process to save the imports."""

    def invoke(*args: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["ganbench", *map(str, args)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Answer(code, *capsys.readouterr())

    return invoke
