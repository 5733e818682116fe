"""The statistics behind `ganbench perf`: intervals, looks, and the rule."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from ganbench.perf.decision import ALPHA, TOO_NOISY, decide, rows_of
from ganbench.perf.evidence import Chunk, Restart, read_restarts, write_restart
from ganbench.perf.intervals import Interval, alpha_of_look, centre_interval, looks

finite = st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 6))
samples = st.lists(finite, min_size=10, max_size=25)


def test_with_ten_values_and_alpha_of_two_to_the_minus_ten_the_bounds_are_the_extremes():
    values = [0.3, -0.1, 0.25, 0.02, 0.0, 0.07, -0.3, 0.11, 0.5, 0.04]
    found = centre_interval(values, 2**-10)  # P(all ten on one side of the centre) = 1/1024
    assert (found.low, found.high) == (-0.3, 0.5)


def test_fewer_values_than_the_confidence_needs_give_no_bound():
    found = centre_interval([0.1] * 9, 2**-10)  # the smallest tail of nine is 2⁻⁹
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.estimate == pytest.approx(0.1)


@given(samples)
def test_the_estimate_is_the_median_of_all_pairwise_averages(values):
    averages = [(a + b) / 2 for i, a in enumerate(values) for b in values[i:]]
    assert centre_interval(values, 0.01).estimate == pytest.approx(median(averages), abs=1e-12)


@given(samples, st.floats(-1, 1))
def test_moving_all_values_moves_the_interval(values, shift):
    before = centre_interval(values, 0.01)
    after = centre_interval([x + shift for x in values], 0.01)
    assert after.low == pytest.approx(before.low + shift, abs=1e-9)
    assert after.high == pytest.approx(before.high + shift, abs=1e-9)


@settings(deadline=None)
@given(st.lists(finite.filter(lambda x: abs(x) > 1e-3), min_size=10, max_size=16, unique_by=abs))
def test_zero_is_outside_exactly_when_the_exact_signed_rank_test_rejects_it(values):
    alpha = 0.01
    p_value = wilcoxon(values, alternative="greater", method="exact").pvalue
    assert (centre_interval(values, alpha).low > 0) == (p_value <= alpha + 1e-12)


def test_the_error_rates_of_all_looks_add_up_to_no_more_than_alpha():
    spent = sum(alpha_of_look(0.005, k) for k in range(1, 100_000))  # Σ 1/(k(k+1)) = 1 − 1/K
    assert spent == pytest.approx(0.005 * (1 - 1 / 100_000))


def test_looks_come_at_growing_numbers_of_restarts():
    assert looks(60) == [12, 17, 24, 33, 47]


EQUAL = Interval(0.0, -0.005, 0.005)


@pytest.mark.parametrize(
    ("change", "twin", "verdict"),
    [
        (Interval(0.05, 0.03, 0.07), EQUAL, "regressed"),
        (Interval(0.00, -0.01, 0.01), EQUAL, "ok"),
        (Interval(0.02, 0.01, 0.03), EQUAL, "inconclusive"),
        (Interval(0.05, 0.03, 0.07), Interval(0.0, -0.04, 0.04), "inconclusive"),
        (Interval(0.00, -0.01, 0.01), Interval(0.0, -0.03, 0.03), "inconclusive"),
        (Interval(0.00, -0.01, 0.01), Interval(0.004, 0.001, 0.006), "inconclusive"),
        (Interval(0.09, 0.08, 0.10), Interval(-0.004, -0.006, -0.001), "inconclusive"),
        (Interval(0.00, -math.inf, math.inf), Interval(0.0, -math.inf, math.inf), "inconclusive"),
        (Interval(0.05, 0.03, 0.07), Interval(0.0, -0.02, 0.025), "regressed"),
        (Interval(-0.30, -0.35, -0.25), EQUAL, "ok"),
    ],
)  # fmt: skip
def test_the_rule_against_a_threshold_of_two_percent(change, twin, verdict):
    assert decide(change, twin, 0.02).verdict == verdict


def test_a_difference_of_base_from_itself_is_called_the_machines_noise():
    judged = decide(Interval(0.0, -0.01, 0.01), Interval(0.004, 0.001, 0.006), 0.02)
    assert judged.reason == f"{TOO_NOISY}: base differs from itself by 0.1 % to 0.6 %"


def test_too_few_restarts_for_an_interval_are_said_to_be_too_few():
    nothing = Interval(0.0, -math.inf, math.inf)
    assert "too few restarts" in decide(nothing, nothing, 0.02).reason


def restart(times: dict[str, list[float]], peaks: dict[str, int] | None = None) -> Restart:
    """One block a list entry; two chunks of one step an arm and block, of half the time each."""
    chunks = tuple(
        Chunk(block, arm, 1, seconds[block] / 2, seconds[block] / 2, None, 1_000_000 * block)
        for block in range(len(times["base"]))
        for arm, seconds in times.items()
        for _ in range(2)
    )
    peaks = peaks or dict.fromkeys(times, 100)
    return Restart("case", 0, dict.fromkeys(times, 0), 128.0, chunks, peaks)


def test_head_and_twin_are_both_compared_with_base():
    one = restart({"base": [1.0], "head": [1.1], "twin": [1.21]})
    assert one.log_ratio("cpu_s") == pytest.approx(math.log(1.1))
    assert one.log_ratio("cpu_s", twin=True) == pytest.approx(math.log(1.21))


def test_one_disturbed_block_of_three_does_not_move_the_ratio():
    one = restart({"base": [1.0, 9.0, 1.0], "head": [1.05, 1.0, 1.05], "twin": [1.0, 1.0, 1.0]})
    assert one.log_ratio("cpu_s") == pytest.approx(math.log(1.05))


def test_restarts_come_back_from_a_file_as_they_were_written(tmp_path):
    one = restart({"base": [1.0, 0.5], "head": [1.0, 0.25], "twin": [1.0, 0.5]})
    path = tmp_path / "evidence.jsonl"
    with path.open("w") as file:
        write_restart(file, one)
        write_restart(file, one)
    assert list(read_restarts(path)) == [one, one]


def growing(leaked: int, once: int) -> Restart:
    """Six chunks of one step an arm; head leaks at each, and takes `once` bytes in the third."""
    chunks = tuple(
        Chunk(i // 2, arm, 1, 1.0, 1.0, None, (leaked * i + once * (i >= 3)) * (arm == "head"))
        for i in range(6)
        for arm in ("base", "head", "twin")
    )
    return Restart("case", 0, {}, 128.0, chunks, dict.fromkeys(("base", "head", "twin"), 10**9))


def test_memory_kept_at_each_step_is_a_regression_and_memory_taken_once_is_none():
    def verdict(restart: Restart):
        rows = rows_of("case", [restart] * 12, {"memory_growth": 0.1}, look=1, family=1)
        return next(row for row in rows if row.metric == "memory_growth")

    leak = verdict(growing(leaked=1_000_000, once=0))
    # 1 MB a step is 1 GB in 1,000 steps, as much as base's whole peak
    assert (leak.verdict, leak.worsening, leak.head) == ("regressed", 1.0, 1000.0)
    assert verdict(growing(leaked=0, once=5_000_000)).verdict == "ok"


def test_a_row_reports_the_rate_and_how_much_longer_a_step_takes():
    slower = restart({"base": [0.5], "head": [0.6], "twin": [0.5]})
    row = rows_of("case", [slower] * 12, {"throughput": 0.05}, look=1, family=1)[0]
    # a chunk of one step takes half a block's time: 128 images in 0.25 s and in 0.3 s
    assert (row.base, row.head) == (pytest.approx(512.0), pytest.approx(128 / 0.3))
    assert row.worsening == pytest.approx(0.2)
    assert (row.verdict, row.n) == ("regressed", 12)


def sequence_verdict(change: float, rng: np.random.Generator, threshold: float) -> str:
    """The whole procedure on restarts with heavy tails (t with 3 degrees of freedom, 1.5 %)."""
    most = 76
    head = change + 0.015 * rng.standard_t(3, most)
    twin = 0.015 * rng.standard_t(3, most)
    for look, n in enumerate(looks(most), start=1):
        alpha = alpha_of_look(ALPHA, look)
        intervals = (centre_interval(x[:n], alpha) for x in (head, twin))
        verdict = decide(*intervals, threshold).verdict
        if verdict != "inconclusive":
            return verdict
    return "inconclusive"


def rate(verdict: str, change: float, n: int, threshold: float = 0.02) -> float:
    rng = np.random.default_rng(7)
    return sum(sequence_verdict(change, rng, threshold) == verdict for _ in range(n)) / n


def test_at_the_threshold_itself_wrong_verdicts_stay_under_one_percent():
    # The worst case of either error, over all looks: each at most ALPHA = 0.5 %. Of 400 runs,
    # more than 8 would have a chance below 1 in 1000.
    assert rate("regressed", 0.02, 400) <= 8 / 400
    assert rate("ok", 0.0201, 400) <= 8 / 400


def test_five_percent_is_found_and_nothing_is_ok():
    assert rate("regressed", 0.05, 100) >= 0.95
    assert rate("ok", 0.0, 100) >= 0.95


def test_one_percent_is_never_ok_under_a_threshold_of_half_a_percent():
    assert rate("ok", 0.01, 200, threshold=0.005) == 0
