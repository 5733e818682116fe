"""Every component of a package, each a test."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganbench.discovery import same_package
from ganbench.errors import UsageError
from ganbench.hookspecs import HOOK_OF_KIND
from ganbench.plugin_check import check_plugins
from ganbench.registry import Registry, default_registry
from ganbench.testing.backends import check_backend
from ganbench.testing.data import check_dataset
from ganbench.testing.faults import ConformanceFailure
from ganbench.testing.losses import check_loss
from ganbench.testing.metrics import check_metric
from ganbench.testing.networks import check_discriminator, check_generator
from ganbench.testing.optimizers import check_optimizer
from ganbench.testing.others import (
    check_command,
    check_extractor,
    check_schedule,
    check_tracker,
)
from ganbench.testing.rules import check_rule

__all__ = ["CHECKS", "conformance_tests"]

CHECKS: dict[str, Callable[..., None]] = {
    "generator": check_generator,
    "discriminator": check_discriminator,
    "loss": check_loss,
    "optimizer": check_optimizer,
    "schedule": check_schedule,
    "rule": check_rule,
    "data": check_dataset,
    "extractor": check_extractor,
    "metric": check_metric,
    "tracker": check_tracker,
    "backend": check_backend,
    "command": check_command,
}


@dataclass(frozen=True)
class _Case:
    """A component, as the command line would write it, or a problem of the package."""

    kind: str
    text: str
    name: str
    problem: str = ""

    def run(self) -> None:
        """Check it. A refusal to be made here, with its reason, is a skip."""
        import pytest

        if self.problem:
            pytest.fail(self.problem, pytrace=False)
        try:
            CHECKS[self.kind](self.text)
        except ConformanceFailure as failure:
            if failure.__cause__ is not None:
                raise
            pytest.fail(str(failure), pytrace=False)
        except UsageError as refusal:
            pytest.skip(f"it refuses: {refusal}")


def conformance_tests(
    distribution: str,
    *,
    examples: Mapping[str, Sequence[str]] | None = None,
    leave_out: Collection[str] = (),
) -> Any:
    """A parametrised pytest function over all components that an installed package registers:
    `test_conformance = conformance_tests("my-package")`.

    `examples` says by kind how to write those that are to be tried with options, because they
    need some or are too large without: `{"loss": ["mine:weight=2"]}`; `leave_out` names those
    that are not to be tried at all. A component that refuses to be made, with a ValueError or
    UsageError, is skipped with its reason.
    """
    import pytest

    cases = [
        case
        for case in _cases(default_registry(), distribution, examples or {})
        if case.name not in leave_out
    ]

    @pytest.mark.parametrize("case", cases, ids=[f"{case.kind}-{case.name}" for case in cases])
    def conformance(case: _Case) -> None:
        case.run()

    return conformance


def _cases(
    registry: Registry, distribution: str, examples: Mapping[str, Sequence[str]]
) -> Iterator[_Case]:
    problems = [
        _Case("package", "", f"problem{i}", str(problem))
        for i, problem in enumerate(check_plugins(registry))
        if same_package(problem.plugin.dist, distribution)
    ]
    own = [
        one
        for kind in HOOK_OF_KIND
        for one in registry.components(kind)
        if same_package(one.plugin.dist, distribution)
    ]
    if not own and not problems:
        told = f"no installed package '{distribution}' registers anything: pip install -e ."
        problems = [_Case("package", "", "missing", told)]
    yield from problems
    for one in own:
        texts = [t for t in examples.get(one.kind, ()) if t.partition(":")[0].strip() == one.name]
        for text in texts or [one.name]:
            yield _Case(one.kind, f"{one.plugin.dist}/{text}", text)
