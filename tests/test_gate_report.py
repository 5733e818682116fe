"""What a gate concludes and how it is written: exit codes, thresholds, all outputs read back."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml

from ganbench.errors import GanbenchError, UsageError
from ganbench.gate.directions import worsening_of
from ganbench.gate.github import to_annotations, to_github_benchmark
from ganbench.gate.json_report import from_json, to_json
from ganbench.gate.junit import to_junit
from ganbench.gate.markdown import MARKER, to_markdown
from ganbench.gate.outputs import Outputs
from ganbench.gate.report import Report, Row, overall
from ganbench.gate.terminal import print_report
from ganbench.gate.thresholds import Thresholds, parse_fail_above, read_thresholds


def row(**changes) -> Row:
    values = {
        "case": "mlp-nonsat",
        "metric": "throughput",
        "unit": "images/s",
        "base": 2000.0,
        "head": 1600.0,
        "worsening": 0.25,  # 2000/1600 − 1
        "low": 0.2,
        "high": 0.3,
        "threshold": 0.05,
        "verdict": "regressed",
        "reason": "slower in 9 of 9 restarts",
        "n": 9,
    }
    return Row(**{**values, **changes})


OK = row(metric="fid", unit="", base=10.0, head=10.0, worsening=0.0, verdict="ok", reason="")
UNSURE = row(case="mlp-wgan", verdict="inconclusive", reason="one restart")
REPORTED = row(metric="wall_time", threshold=math.inf, verdict="ok", reason="")


def report(*rows: Row, problem: str | None = None, notes: tuple[str, ...] = ()) -> Report:
    return Report(rows, overall(rows), {"torch": "2.9"}, {"torch": "2.9"}, notes, problem)


@pytest.mark.parametrize(
    ("rows", "problem", "code"),
    [
        ([OK], None, 0),
        ([OK, row()], None, 3),
        ([OK, UNSURE], None, 4),
        ([UNSURE, row()], None, 3),
        ([], None, 4),
        ([REPORTED], None, 4),
        ([OK], "the head crashed", 1),
        ([UNSURE], "the head crashed", 1),
        ([row()], "the environments differ", 3),
    ],
)
def test_the_exit_code_follows_from_the_worst_row_and_a_problem_is_never_a_pass(
    rows, problem, code
):
    assert report(*rows, problem=problem).exit_code == code


def test_a_figure_that_is_only_reported_changes_no_verdict():
    assert overall([OK, row(threshold=math.inf)]) == "ok"


def test_half_the_speed_and_twice_the_time_are_the_same_worsening():
    assert worsening_of(0.5, "higher") == worsening_of(2.0, "lower") == 1.0


def test_thresholds_are_read_from_the_flag():
    found = parse_fail_above("throughput=5%, peak_memory=2.5 %,fid=off")
    assert found.of("any", "throughput") == pytest.approx(0.05)
    assert found.of("any", "peak_memory") == pytest.approx(0.025)
    assert found.of("any", "fid") == found.of("any", "recall") == math.inf


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("throughput=5", "must be a percentage such as 5%"),
        ("throughput=-5%", "must be a percentage"),
        ("throughput", "is not metric=percent"),
        ("fid=1%,fid=2%", "names fid twice"),
        ("", "is not metric=percent"),
        ("=5%", "is not metric=percent"),
        ("fid=nan%", "must be a percentage"),
    ],
)
def test_a_threshold_that_could_mean_two_things_is_refused(text, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        parse_fail_above(text)


@given(st.text())
def test_any_text_is_thresholds_or_a_usage_error(text):
    try:
        found = parse_fail_above(text)
    except UsageError:
        return
    assert all(value >= 0 for value in found.metrics.values())


def test_a_file_makes_exceptions_for_cases_and_the_last_that_matches_wins(tmp_path):
    file = tmp_path / "gate.toml"
    file.write_text(
        '[fail_above]\nfid = "2%"\nthroughput = "5%"\n'
        '[[case]]\nmatch = "mlp-*"\nfid = "3%"\n'
        '[[case]]\nmatch = "mlp-wgan*"\nfid = "off"\n'
        '[better]\nmine = "higher"\n'
    )
    found = read_thresholds(file)
    assert found.of("dcgan-nonsat", "fid") == pytest.approx(0.02)
    assert found.of("mlp-nonsat", "fid") == pytest.approx(0.03)
    assert found.of("mlp-wgan-gp", "fid") == math.inf
    assert found.of("mlp-wgan-gp", "throughput") == pytest.approx(0.05)
    assert (found.better("mine"), found.better("fid"), found.better("?")) == (
        "higher",
        "lower",
        None,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fail_above = 3", "write [fail_above]"),
        ("[fail_abov]\nfid='2%'", "did you mean 'fail_above'?"),
        ("[fail_above]\nfid=2", "must be a percentage"),
        ("[[case]]\nfid='2%'", "needs match"),
        ("[better]\nx='up'", "must be lower or higher"),
        ("=", "is not TOML"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, text, said):
    (tmp_path / "gate.toml").write_text(text)
    with pytest.raises(UsageError, match=re.escape(said)):
        read_thresholds(tmp_path / "gate.toml")


def test_a_metric_that_nobody_measures_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'throughput'"):
        Thresholds({"throughputt": 0.1}).check_metrics({"throughput", "fid"})


def test_json_reads_back_as_the_same_report():
    first = report(
        row(low=-math.inf), OK, REPORTED, row(worsening=math.nan), problem="p", notes=("n",)
    )
    text = to_json(first)
    assert "NaN" not in text
    assert "Infinity" not in text
    again = from_json(text)
    assert again.rows[:3] == first.rows[:3]
    assert math.isnan(again.rows[3].worsening)
    assert (again.verdict, again.problem, again.notes) == ("regressed", "p", ("n",))
    assert json.loads(text)["exit_code"] == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}', "1"])
def test_other_json_is_no_report(text):
    with pytest.raises(GanbenchError, match="not a report"):
        from_json(text)


def cells(line: str) -> list[str]:
    """The cells of a Markdown table's line, as GitHub splits them: at pipes with no backslash."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def test_a_markdown_table_keeps_its_columns_whatever_a_case_is_called():
    text = to_markdown(report(row(case="a|b *c* <d> `e`\n|"), OK, REPORTED))
    assert text.startswith(MARKER)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(cells(line)) for line in tables} == {9}
    assert cells(tables[2])[1] == r"a\|b \*c\* \<d\> \`e\` \|"
    assert cells(tables[2])[3:6] == ["2000 images/s", "1600 images/s", "+25.0 %"]


def test_markdown_puts_what_needs_attention_before_what_is_folded():
    text = to_markdown(report(OK, row(), UNSURE, notes=("only in base: x",)))
    shown, folded = text.split("<details>", 1)
    assert "regressed" in shown
    assert "one restart" in shown
    assert "fid" in folded
    assert "only in base: x" in folded


def junit_of(made: Report) -> dict[str, str]:
    """{case name: result} as junitparser reads it."""
    found = {}
    for suite in JUnitXml.fromstring(to_junit(made).encode()):
        for case in suite:
            kinds = [type(result).__name__ for result in case.result]
            found[f"{case.classname}.{case.name}"] = kinds[0] if kinds else "Passed"
    return found


def test_junit_fails_what_regressed_skips_what_is_undecided_and_errs_on_a_problem():
    assert junit_of(report(OK, row(), UNSURE, REPORTED, problem="the head crashed")) == {
        "ganbench.mlp-nonsat.fid": "Passed",
        "ganbench.mlp-nonsat.throughput": "Failure",
        "ganbench.mlp-wgan.throughput": "Skipped",
        "ganbench.comparison": "Error",
    }


def test_junits_counts_are_those_of_its_cases():
    made = report(OK, row(), UNSURE, REPORTED, problem="p")
    suite = next(iter(JUnitXml.fromstring(to_junit(made).encode())))
    declared = (suite.tests, suite.failures, suite.skipped, suite.errors)
    suite.update_statistics()
    assert declared == (suite.tests, suite.failures, suite.skipped, suite.errors) == (4, 1, 1, 1)


@given(st.text())
def test_junit_is_xml_whatever_a_reason_holds(text):
    junit_of(report(row(reason=text, case=text)))


def unescaped(text: str) -> str:
    """As the runner reads a workflow command."""
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def test_annotations_hold_newlines_and_percents_in_one_line_each():
    made = report(row(reason="first\nsecond: 100%, ::error::x"), UNSURE)
    lines = to_annotations(made).splitlines()
    kinds = [line.split(" ", 1)[0] for line in lines]
    assert kinds == ["::error", "::warning", "::notice"]
    head, message = re.fullmatch(r"::error title=([^:,]*)::(.*)", lines[0]).groups()
    assert head == "Regressed%3A throughput"
    assert unescaped(message).endswith("first\nsecond: 100%, ::error::x")


def test_the_worst_regression_is_annotated_first():
    made = report(row(case="a", worsening=0.1), row(case="b", worsening=0.3))
    errors = [line for line in to_annotations(made).splitlines() if "::error" in line]
    assert "::b: " in errors[0]


def test_github_action_benchmark_gets_smaller_is_better_for_every_figure():
    made = report(
        row(), OK, row(metric="recall", head=0.75), row(metric="density"), REPORTED, row(metric="?")
    )
    entries = json.loads(to_github_benchmark(made))
    assert all({"name", "unit", "value"} <= entry.keys() for entry in entries)
    values = {entry["name"]: entry["value"] for entry in entries}
    assert values == {
        "mlp-nonsat / time of an image": 1000 / 1600,
        "mlp-nonsat / fid": 10.0,
        "mlp-nonsat / 1 - recall": 0.25,
        "mlp-nonsat / wall_time": 1600.0,
    }


def test_the_terminal_names_the_reason_and_ends_with_the_verdict(capsys):
    print_report(report(OK, row(), UNSURE, REPORTED, notes=("a [b] c",)))
    shown = capsys.readouterr().out
    assert "slower in 9 of 9 restarts" in shown
    assert "note: a [b] c" in shown
    assert shown.splitlines()[-1] == "regressed: throughput of mlp-nonsat"


def test_all_outputs_are_written_and_stdout_is_json_alone(tmp_path, capsys):
    names = ("markdown", "junit", "github_benchmark")
    files = {name: tmp_path / name for name in names}
    Outputs(as_json=True, annotations=True, **files).write(report(row()))
    shown = capsys.readouterr()
    assert json.loads(shown.out)["verdict"] == "regressed"
    assert "::error" in shown.err
    assert all(file.stat().st_size for file in files.values())


def test_a_place_that_takes_no_file_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(UsageError, match=r"--junit is .* lies in no folder"):
        Outputs(junit=tmp_path / "no" / "x.xml").check()
    with pytest.raises(UsageError, match=r"--markdown is .* is a folder"):
        Outputs(markdown=tmp_path).check()
