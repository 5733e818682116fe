"""The pytest fixture `ganbench_case`: a benchmark of a plugin in three lines.

    def test_speed(ganbench_case):
        ganbench_case(loss="my-loss", opt="adam")

pytest loads this module in every session of every project that has ganbench installed, so it
imports nothing until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ganbench_case"]


@pytest.fixture
def ganbench_case(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """ganbench_case(rounds=20, **settings): times steps of that run under pytest-benchmark.

    `settings` are those of `ganbench run`, such as loss="wgan", batch_size=64. One CPU thread
    unless `threads` says otherwise. `ganbench compare` reads the JSON of pytest-benchmark.
    """
    if not request.config.pluginmanager.hasplugin("benchmark"):
        pytest.fail(
            "ganbench_case needs pytest-benchmark, which is not installed or switched off: "
            "pip install pytest-benchmark",
            pytrace=False,
        )
    benchmark = request.getfixturevalue("benchmark")
    from ganbench.benchmark_case import settings_restored, time_case
    from ganbench.errors import GanbenchError

    def case(rounds: int = 20, **settings: Any) -> None:
        try:
            time_case(benchmark, settings, rounds)
        except GanbenchError as error:
            pytest.fail(str(error), pytrace=False)

    with settings_restored():
        yield case
