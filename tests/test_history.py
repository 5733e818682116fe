"""`ganbench history`: the file, change points of simulated series, and the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ganbench.errors import GanbenchError, UsageError
from ganbench.gate.json_report import to_json
from ganbench.gate.report import Report, Row
from ganbench.history.changes import LEAST, change_points
from ganbench.history.rows import HistoryRow, add_rows, read_rows, rows_of
from ganbench.history.series import series_of, sort_of

COMMIT = "1f2e3d4c5b6a"


def noisy(n: int, seed: int, law: str = "standard_normal", sd: float = 0.05):
    """A flat series with noise of `sd`, in logarithms."""
    return sd * getattr(np.random.default_rng(seed), law)(size=n)


@pytest.mark.parametrize("law", ["standard_normal", "laplace"])
@pytest.mark.parametrize("n", [LEAST, 40])
def test_noise_alone_has_no_change_points(law, n):
    found = sum(bool(change_points(np.exp(noisy(n, seed, law)))) for seed in range(50))
    assert found <= 3  # the penalty's share of about 1 in 100 gives 0.5 of 50; 4 have p = 0.2 %


def test_a_flat_series_and_a_short_one_have_none():
    assert change_points([5.0] * 30) == []
    assert change_points([1.0] * (LEAST // 2) + [9.0] * (LEAST // 2 - 1)) == []


def test_a_step_is_found_where_it_is_with_both_levels():
    x = np.exp(noisy(40, 0, sd=0.01))
    x[25:] *= 1.1
    (change,) = change_points(x)
    assert change.index == 25
    assert change.ratio == pytest.approx(1.1, abs=0.01)


def test_one_odd_value_is_no_change():
    x = np.exp(noisy(40, 1, sd=0.01))
    x[20] *= 3
    assert change_points(x) == []


def test_a_drift_up_and_back_is_two_changes():
    x = np.exp(noisy(45, 2, sd=0.01))
    x[15:30] *= 0.9
    assert [change.index for change in change_points(x)] == [15, 30]


def test_the_same_step_is_worse_for_a_distance_and_better_for_a_speed():
    (change,) = change_points([10.0] * 15 + [12.0] * 15)
    sorts = [sort_of(change, metric) for metric in ("fid", "throughput", "unheard-of")]
    assert sorts == ["worse", "better", "changed"]


def row(i: int = 0, **changes) -> HistoryRow:
    values = {"commit": f"{i:07x}", "date": f"2026-01-{i + 1:02}T00:00:00+00:00", "case": "mlp"}
    values |= {"metric": "fid", "unit": "", "value": 10.0, "n": 5}
    return HistoryRow(**{**values, **changes})


def test_what_is_added_is_read_and_the_last_of_a_commit_counts(tmp_path):
    file = tmp_path / "deep" / "history.jsonl"
    add_rows(file, [row(0), row(1)])
    add_rows(file, [row(0, value=12.0)])
    assert len(file.read_text().splitlines()) == 3
    assert read_rows(file) == [row(0, value=12.0), row(1)]


@pytest.mark.parametrize(
    "line", ["{", "[]", "1", '{"commit": "a"}', json.dumps({**json.loads("{}"), "x": 1})]
)
def test_a_line_that_is_no_row_is_named_by_its_number(tmp_path, line):
    file = tmp_path / "history.jsonl"
    add_rows(file, [row()])
    with file.open("a") as opened:
        opened.write(line + "\n")
    with pytest.raises(GanbenchError, match=r"history\.jsonl:2 is no row"):
        read_rows(file)


def report(**changes) -> str:
    values = {"case": "mlp", "metric": "fid", "unit": "", "base": 10.0, "head": 11.0}
    values |= {"worsening": 0.1, "low": 0.0, "high": 0.2, "threshold": 0.05, "n": 5}
    made = Row(**{**values, "verdict": "inconclusive", "reason": "", **changes})
    return to_json(Report((made, replace(made, metric="kid", head=float("nan"))), "inconclusive"))


def test_of_a_report_the_heads_figures_are_added(tmp_path):
    (tmp_path / "report.json").write_text(report())
    date = "2026-01-01T10:00:00Z"
    assert rows_of(tmp_path / "report.json", COMMIT, date) == [
        HistoryRow(COMMIT, "2026-01-01T10:00:00+00:00", "mlp", "fid", "", 11.0, 5)
    ]


def test_of_a_report_of_perf_base_against_itself_is_left_out(tmp_path):
    """`throughput A/A` is base's second worker: of head it says nothing."""
    of = Row("mlp", "throughput", "images/s", 900.0, 950.0, -0.05, -0.1, 0, 0.02, "ok", "", 12)
    twin = replace(of, metric="throughput A/A", head=910.0, threshold=float("inf"))
    wall = replace(of, metric="wall_time", unit="ms/step", head=12.0, threshold=float("inf"))
    (tmp_path / "report.json").write_text(to_json(Report((of, wall, twin), "ok")))
    found = [(one.metric, one.value) for one in rows_of(tmp_path / "report.json", COMMIT, None)]
    assert found == [("throughput", 950.0), ("wall_time", 12.0)]


@pytest.mark.parametrize(
    ("commit", "date", "said"),
    [("HEAD", None, "must be a commit's hash"), (COMMIT, "yesterday", "must be ISO 8601")],
)
def test_a_commit_that_is_none_and_a_date_that_is_none_are_refused(tmp_path, commit, date, said):
    (tmp_path / "report.json").write_text(report())
    with pytest.raises(UsageError, match=said):
        rows_of(tmp_path / "report.json", commit, date)


def test_series_are_in_the_order_of_dates_whatever_the_order_of_lines():
    rows = [row(i, value=10.0 if i < 14 else 20.0) for i in range(28)]
    (series,) = series_of(rows[::-1])
    assert series.values == [10.0] * 14 + [20.0] * 14
    assert series.rows[series.changes[0].index].commit == rows[14].commit


def test_dates_of_two_time_zones_are_compared_as_times():
    first = row(1, date="2026-01-01T23:00:00+00:00")
    second = row(2, date="2026-01-02T00:30:00+01:00")  # 23:30 UTC
    third = row(3, date="2026-01-01T20:00:00-05:00")  # 01:00 UTC of the 2nd
    (series,) = series_of([third, second, first])
    assert list(series.rows) == [first, second, third]


def test_the_command_adds_shows_and_draws(tmp_path, ganbench_cli):
    file = tmp_path / "history.jsonl"
    rows = [row(i, value=10 + 0.01 * (i % 3) + (2 if i >= 15 else 0)) for i in range(25)]
    add_rows(file, rows)
    (tmp_path / "report.json").write_text(report(head=12.0))
    added = ganbench_cli(
        *("history", "add", tmp_path / "report.json", "--commit", COMMIT, "--file", file),
        *("--date", "2026-03-01"),
    )
    assert (added.code, added.out) == (0, f"{file}: 1 figures of 1f2e3d4c5b added\n")
    shown = ganbench_cli("history", "show", "--file", file)
    assert f"{rows[15].commit} +20.0 % worse" in shown.out  # 12.01/10.01 = 1.19980
    assert "26" in shown.out
    (series,) = json.loads(ganbench_cli("history", "show", "--file", file, "--json").out)
    assert [change["index"] for change in series["changes"]] == [15]
    for suffix, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        picture = tmp_path / f"history.{suffix}"
        drawn = ganbench_cli("history", "plot", "--file", file, "--out", picture)
        assert (drawn.code, drawn.out) == (0, f"picture: {picture}\n")
        assert picture.read_bytes().startswith(start)


def test_the_command_explains_what_is_missing(tmp_path, ganbench_cli):
    file = tmp_path / "history.jsonl"
    none = ganbench_cli("history", "show", "--file", file)
    assert (none.code, "Begin one with: ganbench history add" in none.err) == (2, True)
    add_rows(file, [row()])
    wrong = ganbench_cli("history", "show", "--file", file, "--metric", "fit")
    assert (wrong.code, "did you mean 'fid'?" in wrong.err) == (2, True)
    text = ganbench_cli("history", "plot", "--file", file, "--out", "x.txt")
    assert (text.code, "must end in .png" in text.err) == (2, True)


def test_without_ruptures_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ruptures", None)
    with pytest.raises(GanbenchError, match=r"pip install 'ganbench\[history\]'"):
        change_points([1.0] * 20)
