"""`ganbench compare`: what is paired, what is refused, and verdicts that follow from the pairs."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ganbench import RunSpec
from ganbench.compare import compare_places
from ganbench.compare.interleaved import interleaved
from ganbench.compare.judge import Question, judge
from ganbench.errors import UsageError
from ganbench.gate import paired
from ganbench.gate.json_report import from_json
from ganbench.gate.thresholds import Thresholds, parse_fail_above
from ganbench.record import Evaluated, RunRecord, Throughput
from ganbench.tables import write_tables

HERE = {"torch": "2.9.0", "threads": 1, "cpu": "A CPU", "device": "cpu", "python": "3.11"}


def record(seed=0, *, fid=10.0, speed=1000.0, memory=500.0, at=0, **changes) -> RunRecord:
    spec = changes.pop("spec", {})
    values = {
        "run_id": f"run-{seed}",
        "spec": RunSpec(device="cpu", seed=seed, **spec),
        "spec_sha256": "0",
        "status": "completed",
        "steps_done": 1500,
        "nimg": 1,
        "weights_sha256": f"{seed}-{fid}",
        "throughput": Throughput(
            images_per_s=speed,
            images_per_s_p10=speed,
            images_per_s_p90=speed,
            ms_per_step_p50=1,
            ms_per_step_p95=1,
            cpu_ms_per_step_p50=1,
            peak_memory_mb=memory,
            gflops_per_step=1,
            matmul_gflops_per_s=1,
            fraction_of_peak=1,
            warmup_steps=10,
            timed_steps=1490,
        ),
        "evaluated": Evaluated(
            extractor="fmnist-cnn-v1",
            extractor_sha256="abc",
            preprocessing=None,
            n_real=10000,
            n_fake=10000,
            values={"fid": fid, "recall": 0.5},
            elapsed_s=1,
        ),
        "environment": HERE,
        "started_at": f"2026-01-01T00:{at:02}:00+00:00",
    }
    return RunRecord(**{**values, **changes})


def save(folder, records):
    for number, one in enumerate(records):
        place = folder / "runs" / f"{number:03}-{one.run_id}"
        place.mkdir(parents=True)
        one.model_copy(update={"run_id": place.name}).save(place)
    return folder


@pytest.fixture
def sides(tmp_path):
    """sides(base records, head records, flag) -> the report."""

    def made(base, head, fail_above="", **options):
        for name, records in (("base", base), ("head", head)):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
            save(tmp_path / name, records)
        given = parse_fail_above(fail_above) if fail_above else Thresholds({})
        return compare_places(str(tmp_path / "base"), str(tmp_path / "head"), given, **options)

    return made


def verdicts(report) -> dict[str, str]:
    return {row.metric: row.verdict for row in report.rows if row.gated}


def in_turns(n, **head):
    """n pairs of runs, base and head in turns, with 1 % of spread; head's figures are scaled."""
    spread = np.linspace(0.995, 1.005, n)
    base = [record(i, fid=10 * s, at=2 * i) for i, s in enumerate(spread)]
    scale = {"fid": 1.0, "speed": 1.0, "memory": 1.0} | head
    worse = [
        record(
            i,
            fid=10 * s * scale["fid"],
            speed=1000 * s * scale["speed"],
            memory=500 * scale["memory"],
            at=2 * i + 1,
        )
        for i, s in enumerate(reversed(spread))
    ]
    return base, worse


# The statistics


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=12, unique=True), st.floats(-1, 1))
def test_the_test_is_scipys_exact_wilcoxon(d, limit):
    shifted = np.array(d) - limit
    if (shifted == 0).any() or len(set(abs(shifted))) < len(d):
        return  # ties, which scipy's exact law does not cover
    averages = np.add.outer(d, d)[np.triu_indices(len(d))] / 2
    if np.isclose(averages, limit, rtol=0, atol=1e-12).any():
        return
    expected = stats.wilcoxon(shifted, alternative="greater", method="exact").pvalue
    assert paired.p_above(d, limit) == pytest.approx(expected)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=15), st.floats(-1, 1))
def test_the_bound_and_the_test_never_disagree(d, limit):
    for level in (0.05, 0.01):
        rejected = paired.p_above(d, limit) <= level
        assert rejected == (paired.lower_bound(d, level) > limit)


def test_the_fewest_pairs_that_decide():
    # all n differences of one sign have probability 2^−n: 1/16 > 5 % ≥ 1/32; 2^−7 > 0.5 % ≥ 2^−8
    assert (paired.enough(0.05), paired.enough(0.005)) == (5, 8)
    assert paired.lower_bound([1.0] * 4, 0.05) == -math.inf
    assert paired.lower_bound([1.0, 2.0, 3.0, 4.0, 5.0], 0.05) == 1.0


def test_the_interval_covers_as_often_as_it_says():
    draws = np.random.default_rng(0)
    samples = draws.standard_t(3, size=(2000, 10))
    above = sum(paired.lower_bound(sample, 0.05) > 0 for sample in samples)
    # the exact share for n = 10 is P(W ≤ 10) = 43/1024 = 4.2 %; 2000 draws: ± 3·0.45 %
    assert 0.042 - 0.0135 < above / 2000 < 0.042 + 0.0135


def test_holms_levels_by_hand():
    # 0.01 ≤ 0.05/3; 0.02 ≤ 0.05/2; 0.06 > 0.05/1
    assert paired.holm_levels([0.02, 0.06, 0.01], 0.05) == [0.025, 0.05, 0.05 / 3]
    # 0.03 > 0.05/2 stops it, and 0.04 is held to the same level
    assert paired.holm_levels([0.04, 0.03, 0.001], 0.05) == [0.025, 0.025, 0.05 / 3]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 9))
def test_the_verdict_can_be_read_off_the_interval(seed, rows, n):
    draws = np.random.default_rng(seed)
    questions = [
        Question(
            case=str(i),
            metric="fid",
            unit="",
            base=tuple(np.exp(draws.normal(0, 0.02, n))),
            head=tuple(np.exp(draws.normal(draws.choice([0, 0.05, 0.1]), 0.02, n))),
            direction="lower",
            threshold=0.05,
        )
        for i in range(rows)
    ]
    for row in judge(questions):
        assert (row.verdict == "regressed") == (row.low > row.threshold)
        assert (row.verdict == "ok") == (row.high <= row.threshold)


def test_equal_code_regresses_in_one_report_of_twenty_at_most_whatever_the_number_of_rows():
    """Twelve rows at their threshold: without a correction 1 − 0.95^12 = 46 % would regress."""
    draws = np.random.default_rng(1)
    reports, rows, n = 400, 12, 9

    def question(i):
        d = draws.normal(math.log(1.05), 0.03, n)
        ones = (1.0,) * n
        return Question(str(i), "fid", "", ones, tuple(np.exp(d)), "lower", 0.05)

    false = sum(
        any(row.verdict == "regressed" for row in judge([question(i) for i in range(rows)]))
        for _ in range(reports)
    )
    # at most 5 %, and 3 standard errors: 0.05 + 3·sqrt(0.05·0.95/400) = 8.3 %
    assert false / reports < 0.083


# Results folders


def test_the_same_results_are_ok(sides):
    base, head = in_turns(7)
    report = sides(base, head)
    assert verdicts(report) == dict.fromkeys(("throughput", "peak_memory", "fid"), "ok")
    assert report.exit_code == 0


@pytest.mark.parametrize(
    ("figure", "scale", "metric", "worse"),
    [
        ("fid", 1.2, "fid", 0.2),
        ("speed", 0.8, "throughput", 0.25),
        ("memory", 1.1, "peak_memory", 0.1),
    ],
)
def test_what_is_worse_is_named_and_by_how_much(sides, figure, scale, metric, worse):
    report = sides(*in_turns(7, **{figure: scale}))
    (row,) = report.regressions()
    assert row.metric == metric
    assert row.worsening == pytest.approx(worse, abs=0.005)
    assert row.low < worse < row.high or row.low == pytest.approx(row.high)
    assert report.exit_code == 3


def test_what_is_better_is_ok(sides):
    report = sides(*in_turns(7, fid=0.5, speed=2, memory=0.5))
    assert set(verdicts(report).values()) == {"ok"}


def test_one_seed_is_inconclusive_and_says_how_many_it_needs(sides):
    report = sides([record()], [record(fid=20.0, speed=500.0)])
    assert set(verdicts(report).values()) == {"inconclusive"}
    assert "at least 5 are needed" in report.rows[0].reason
    assert report.exit_code == 4


def test_one_seed_of_the_same_bits_is_ok_in_quality(sides):
    assert verdicts(sides([record()], [record()]))["fid"] == "ok"


def test_a_few_seeds_are_never_enough_over_many_figures(sides):
    report = sides(*in_turns(5, fid=1.5), "recall=5%")
    fid = next(row for row in report.rows if row.metric == "fid")
    # four figures: the smallest p-value must be at most 5 %/4, but 2^−5 = 3.1 %
    assert fid.verdict == "inconclusive"
    assert "at least 7 are needed" in fid.reason


def test_runs_pair_by_seed_and_the_rest_is_named(sides):
    base, head = in_turns(7, fid=1.2)
    report = sides([*base, record(40)], [*reversed(head), record(50)])
    assert {row.n for row in report.rows} == {7}
    assert any("seed 40 is in base only" in note for note in report.notes)
    assert any("seed 50 is in head only" in note for note in report.notes)


def test_a_case_on_one_side_only_is_named_and_not_compared(sides):
    base, head = in_turns(7)
    report = sides([*base, record(spec={"loss": "wgan"})], head)
    assert any("mlp-wgan-adam" in note and "not in head" in note for note in report.notes)
    assert report.exit_code == 0


def test_cases_of_one_name_are_told_apart_by_what_differs(sides):
    records = [record(spec={"z_dim": z}) for z in (10, 20)]
    names = {row.case for row in sides(records, records).rows}
    assert names == {
        "mlp-nonsat-adam-fashion-mnist-10k[z_dim=10]",
        "mlp-nonsat-adam-fashion-mnist-10k[z_dim=20]",
    }


def test_nothing_in_common_is_a_problem_and_no_pass(sides):
    report = sides([record()], [record(spec={"loss": "wgan"})])
    assert "no case is on both sides" in report.problem
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("key", "value"), [("torch", "2.10.0"), ("threads", 2), ("cpu", "Another CPU")]
)
def test_speeds_of_two_environments_are_never_a_regression_nor_a_pass(sides, key, value):
    base, head = in_turns(7, speed=0.5)
    other = [one.model_copy(update={"environment": {**HERE, key: value}}) for one in head]
    report = sides(base, other)
    found = verdicts(report)
    assert found == {"throughput": "inconclusive", "peak_memory": "inconclusive", "fid": "ok"}
    assert f"{key} is {HERE[key]} in base, {value} in head" in report.problem
    assert report.exit_code == 1


def test_quality_is_judged_across_environments_and_speed_can_be_left_out(sides):
    base, head = in_turns(7, fid=1.5)
    other = [one.model_copy(update={"environment": {**HERE, "torch": "3"}}) for one in head]
    assert sides(base, other).exit_code == 3
    base, head = in_turns(7)
    other = [one.model_copy(update={"environment": {**HERE, "torch": "3"}}) for one in head]
    report = sides(base, other, "throughput=off,peak_memory=off")
    assert (report.exit_code, report.problem) == (0, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_fake": 500}, "n_samples is 10000 in base, 500 in head"),
        ({"extractor": "other"}, "extractor is fmnist-cnn-v1 in base, other in head"),
        ({"extractor_sha256": "def"}, "extractor_sha256 is abc in base, def in head"),
    ],
)
def test_distances_measured_differently_are_not_comparable(sides, changes, said):
    base, head = in_turns(7, fid=2)
    other = [
        one.model_copy(update={"evaluated": one.evaluated.model_copy(update=changes)})
        for one in head
    ]
    report = sides(base, other)
    assert said in report.problem
    assert verdicts(report)["fid"] == "inconclusive"
    assert report.exit_code == 1


def test_a_seed_that_diverges_in_head_only_is_a_regression_even_alone(sides):
    gone = {"status": "diverged", "evaluated": None, "weights_sha256": None, "diverged_step": 7}
    report = sides([record()], [record(**gone)])
    (row,) = report.regressions()
    assert (row.metric, row.base, row.head) == ("divergence", 0, 1)
    assert "seed 0" in row.reason
    assert report.exit_code == 3
    back = sides([record(**gone)], [record()])
    assert verdicts(back)["divergence"] == "ok"


@pytest.mark.parametrize(("side", "word"), [(0, "base"), (1, "head")])
def test_a_run_that_failed_is_neither_a_regression_nor_a_pass(sides, side, word):
    records = [record(), record()]
    crash = {"status": "failed", "error": "RuntimeError: boom", "throughput": None}
    records[side] = record(**crash, evaluated=None)
    report = sides([records[0]], [records[1]])
    assert f"seed 0 failed in {word}: RuntimeError: boom" in report.problem
    assert report.exit_code == 1


def test_speeds_measured_one_after_the_other_decide_nothing_unless_the_user_vouches(sides):
    base, head = in_turns(7, speed=0.93)  # 7.5 % slower
    later = [
        one.model_copy(update={"started_at": f"2026-01-02T00:0{i}:00+00:00"})
        for i, one in enumerate(head)
    ]
    assert verdicts(sides(base, head))["throughput"] == "regressed"
    by_default = sides(base, later)
    assert "throughput" not in verdicts(by_default)
    assert any("were not measured in turns" in note for note in by_default.notes)
    assert by_default.exit_code == 0
    asked = sides(base, later, "throughput=5%")
    assert verdicts(asked)["throughput"] == "inconclusive"
    assert any("were not measured in turns" in row.reason for row in asked.rows)
    assert verdicts(sides(base, later, session_allowance=0.0))["throughput"] == "regressed"
    assert verdicts(sides(base, later, session_allowance=0.05))["throughput"] == "inconclusive"


@pytest.mark.parametrize(
    ("order", "expected"),
    [("BHBHBH", True), ("BHHBBH", True), ("BBBHHH", False), ("HHHBBB", False), ("BBHHBH", True)],
)
def test_turns_are_told_by_how_often_the_side_changes(order, expected):
    times = {side: [f"{t:02}" for t, one in enumerate(order) if one == side] for side in "BH"}
    assert interleaved(list(zip(times["B"], times["H"], strict=True))) is expected


def test_a_metric_without_a_direction_needs_one_to_be_gated(sides, tmp_path):
    def with_mine(records):
        return [
            one.model_copy(
                update={
                    "evaluated": one.evaluated.model_copy(
                        update={"values": {"mine": one.evaluated.values["fid"]}}
                    )
                }
            )
            for one in records
        ]

    base, head = (with_mine(one) for one in in_turns(7, fid=0.5))
    assert any("mine is not shown" in note for note in sides(base, head).notes)
    with pytest.raises(UsageError, match="nobody said which way is better"):
        sides(base, head, "mine=5%")
    declared = Thresholds({"mine": 0.05}, directions={"mine": "higher"})
    report = compare_places(str(tmp_path / "base"), str(tmp_path / "head"), declared)
    assert verdicts(report)["mine"] == "regressed"


def test_a_metric_that_no_run_has_is_refused(sides):
    with pytest.raises(UsageError, match="no metric 'fit'; did you mean 'fid'"):
        sides([record()], [record()], "fit=5%")


def test_a_distance_of_zero_has_no_ratio_and_is_inconclusive(sides):
    base, head = in_turns(7)
    zero = [*head[:-1], record(6, fid=0.0)]
    report = sides(base, zero)
    row = next(row for row in report.rows if row.metric == "fid")
    assert row.verdict == "inconclusive"
    assert "no ratio" in row.reason


def test_timings_that_are_not_valid_are_not_used(sides):
    base, head = in_turns(7, speed=0.5)
    disturbed = [
        one.model_copy(
            update={"throughput": one.throughput.model_copy(update={"timing_valid": False})}
        )
        for one in head
    ]
    report = sides(base, disturbed)
    row = next(row for row in report.rows if row.metric == "throughput")
    assert (row.verdict, row.n) == ("inconclusive", 0)
    assert any("7 of 7 pairs have no valid timing" in note for note in report.notes)


# Tables and places


def test_tables_are_compared_as_the_folders_they_were_made_of(sides, tmp_path):
    base, head = in_turns(7, fid=1.2)
    sides(base, head)
    for name in ("base", "head"):
        write_tables(tmp_path / name)
    fid = compare_places(*(str(tmp_path / name / "fid.csv") for name in ("base", "head")))
    assert {row.metric: row.verdict for row in fid.rows} == {"fid": "regressed", "recall": "ok"}
    assert (fid.rows[0].base, fid.rows[0].head, fid.rows[0].n) == (10.0, 12.0, 7)
    speed = compare_places(str(tmp_path / "base"), str(tmp_path / "head" / "throughput.csv"))
    assert verdicts(speed) == {"throughput": "ok", "peak_memory": "ok"}
    for name in ("base", "head"):
        shutil.rmtree(tmp_path / name / "runs")
    alone = compare_places(str(tmp_path / "base"), str(tmp_path / "head"))
    assert verdicts(alone)["fid"] == "regressed"
    assert verdicts(alone)["throughput"] == "inconclusive"
    assert any("does not say on which machine" in row.reason for row in alone.rows)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "which does not exist"),
        ({"base": None}, "a folder with nothing to compare"),
        ({"base/x.json": "{}"}, "not pytest-benchmark's JSON"),
        ({"base/x.json": "["}, "not pytest-benchmark's JSON"),
        ({"base": "text"}, "a file of another kind"),
    ],
)
def test_a_place_with_nothing_to_compare_is_explained(tmp_path, content, said):
    for name, text in content.items():
        place = tmp_path / name
        if text is None:
            place.mkdir()
        else:
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
    with pytest.raises(UsageError, match=said):
        compare_places(str(tmp_path / "base"), str(tmp_path / "base"))


def test_a_csv_that_is_no_table_names_the_missing_columns(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no table of ganbench: it has no column run_id"):
        compare_places(str(tmp_path / "x.csv"), str(tmp_path / "x.csv"))


def test_results_and_pytest_json_are_not_mixed(tmp_path):
    save(tmp_path / "base", [record()])
    benchmarks(tmp_path / "head", [1.0])
    with pytest.raises(UsageError, match="compare two of one kind"):
        compare_places(str(tmp_path / "base"), str(tmp_path / "head"))


# pytest-benchmark


def benchmarks(folder, medians, *, hour=0, name="test_x", extra=None, python="3.11.0"):
    """A file for each restart, three rounds within 1 % of its median."""
    folder.mkdir(exist_ok=True)
    for i, median in enumerate(medians):
        content = {
            "machine_info": {
                "python_version": python,
                "machine": "x86_64",
                "cpu": {"brand_raw": "A CPU"},
            },
            "datetime": f"2026-01-01T{hour:02}:{2 * i:02}:{'base' not in folder.name:02}+00:00",
            "benchmarks": [
                {
                    "fullname": name,
                    "extra_info": {"ganbench": extra} if extra else {},
                    "stats": {"data": [0.99 * median, median, 1.01 * median], "median": median},
                }
            ],
        }
        (folder / f"{i}.json").write_text(json.dumps(content))
    return folder


def compare_json(tmp_path, base, head, **options):
    benchmarks(tmp_path / "base", base)
    benchmarks(tmp_path / "head", head, **options)
    return compare_places(str(tmp_path / "base"), str(tmp_path / "head" / "*.json"))


RESTARTS = [0.98, 0.99, 1.0, 1.01, 1.02]


def test_restarts_are_what_counts_not_rounds(tmp_path):
    report = compare_json(tmp_path, RESTARTS, [1.2 * one for one in reversed(RESTARTS)])
    (row,) = report.rows
    assert (row.n, row.verdict, row.metric, row.unit) == (5, "regressed", "time", "ms")
    assert row.worsening == pytest.approx(0.2, abs=0.01)


def test_restarts_of_the_same_speed_are_ok(tmp_path):
    assert compare_json(tmp_path, RESTARTS, RESTARTS).exit_code == 0


@pytest.mark.parametrize(
    ("ratio", "verdict"), [(1.0, "inconclusive"), (1.25, "inconclusive"), (1.4, "regressed")]
)
def test_one_file_a_side_is_believed_only_far_beyond_what_restarts_vary(tmp_path, ratio, verdict):
    # far beyond: 1.05 · 1.25 = 1.3125
    report = compare_json(tmp_path, [1.0], [ratio])
    assert report.rows[0].verdict == verdict
    assert "1 restart of the 5" in report.rows[0].reason


def test_all_restarts_of_one_side_first_decide_nothing(tmp_path):
    slower = [1.2 * one for one in RESTARTS]
    report = compare_json(tmp_path, RESTARTS, slower, hour=1)
    assert report.rows[0].verdict == "inconclusive"
    assert "not measured in turns" in report.rows[0].reason


def test_restarts_of_two_machines_are_not_compared(tmp_path):
    report = compare_json(tmp_path, RESTARTS, [2.0] * 5, python="3.12.0")
    assert "python is 3.11.0 in base, 3.12.0 in head" in report.problem
    assert report.exit_code == 1


def test_benchmarks_of_one_side_are_named(tmp_path):
    report = compare_json(tmp_path, RESTARTS, RESTARTS, name="test_y")
    assert report.exit_code == 1
    assert len(report.notes) == 2


def test_a_case_is_gated_by_cpu_time_a_step_and_its_wall_time_is_reported(tmp_path):
    extra = {"steps_per_round": 10, "cpu_ms_per_step": 80.0, "environment": {}}
    benchmarks(tmp_path / "base", RESTARTS, extra=extra)
    benchmarks(tmp_path / "head", RESTARTS, extra={**extra, "cpu_ms_per_step": 100.0})
    report = compare_places(str(tmp_path / "base"), str(tmp_path / "head"))
    by_metric = {row.metric: row for row in report.rows}
    assert by_metric["cpu_time"].verdict == "regressed"
    assert by_metric["time"].base == pytest.approx(100)  # 1 s a round of 10 steps
    assert not by_metric["time"].gated


# The command


def test_the_command_writes_everything_and_exits_with_the_verdict(sides, tmp_path, ganbench_cli):
    sides(*in_turns(7, fid=1.2))
    files = {flag: tmp_path / flag for flag in ("markdown", "junit", "github-benchmark")}
    flags = [word for flag, file in files.items() for word in (f"--{flag}", file)]
    answer = ganbench_cli(
        "compare", tmp_path / "base", tmp_path / "head", "--json", "--annotations", *flags
    )
    assert answer.code == 3
    report = from_json(answer.out)
    assert [row.metric for row in report.regressions()] == ["fid"]
    assert "::error title=Regressed%3A fid::" in answer.err
    assert "regressed: fid of" in files["markdown"].read_text()
    assert all(file.stat().st_size for file in files.values())


def test_the_command_explains_a_wrong_flag_and_exits_with_2(tmp_path, ganbench_cli):
    save(tmp_path / "base", [record()])
    place = tmp_path / "base"
    for flags, said in [
        (["--fail-above", "fid=5"], "percentage"),
        (["--session-allowance", "x"], "--session-allowance is 'x'"),
        (["--thresholds", tmp_path / "none.toml"], "can't be read"),
        (["--junit", tmp_path / "no" / "x.xml"], "lies in no folder"),
    ]:
        answer = ganbench_cli("compare", place, place, *flags)
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.err


def test_exceptions_by_case_come_from_a_file_and_the_flag_wins_over_its_table(
    sides, tmp_path, ganbench_cli
):
    sides(*in_turns(7, fid=1.2))
    (tmp_path / "gate.toml").write_text('[fail_above]\nfid = "1%"\n')
    where = (
        "compare",
        tmp_path / "base",
        tmp_path / "head",
        "--thresholds",
        tmp_path / "gate.toml",
    )
    assert ganbench_cli(*where).code == 3
    assert ganbench_cli(*where, "--fail-above", "fid=50%").code == 0
    (tmp_path / "gate.toml").write_text('[[case]]\nmatch = "mlp-nonsat-*"\nfid = "off"\n')
    assert ganbench_cli(*where).code == 0
