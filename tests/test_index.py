"""The index of a results folder never says anything else than the records do."""

from __future__ import annotations

import logging
import math
import os
import shutil
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_tables import evaluated, record, save

from ganbench import index
from ganbench.index import INDEX, summaries, summary_of
from ganbench.record import RunRecord
from ganbench.tables import write_tables

NAMES = [f"r{i}" for i in range(6)]


@pytest.fixture(autouse=True, params=[math.inf, -1.0], ids=["fast disk", "slow disk"])
def _index_small_folders(monkeypatch, request):
    monkeypatch.setattr(index, "_SLOW_S", request.param)
    monkeypatch.setattr(index, "_WORTH_AN_INDEX", 3)
    monkeypatch.setattr(index, "_NOT_WORTH_WRITING", 0)
    monkeypatch.setattr(index, "_BATCH", 2)


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The run folders whose record is opened from here on."""
    names, load = [], RunRecord.load.__func__

    def noting(cls, folder: Path) -> RunRecord:
        names.append(folder.name)
        return load(cls, folder)

    monkeypatch.setattr(RunRecord, "load", classmethod(noting))
    return names


@pytest.fixture
def out(tmp_path) -> Path:
    save(tmp_path, *(record(name, nimg=i) for i, name in enumerate(NAMES)))
    assert ids(tmp_path) == NAMES
    assert (tmp_path / INDEX).exists()
    return tmp_path


def ids(out: Path) -> list[str]:
    return [summary["run_id"] for summary in summaries(out)]


def test_a_second_reading_opens_no_record_and_says_the_same(out, opened):
    assert list(summaries(out)) == [summary_of(record(n, nimg=i)) for i, n in enumerate(NAMES)]
    assert opened == []


def test_the_tables_are_the_same_with_an_index_and_without(out, monkeypatch):
    texts = []
    for least in (3, 10**9):
        monkeypatch.setattr(index, "_WORTH_AN_INDEX", least)
        write_tables(out)
        texts.append({p.name: p.read_bytes() for p in out.glob("*.[cm]*")})
    assert len(texts[0]) == 4
    assert texts[0] == texts[1]


def test_only_what_is_new_or_changed_is_opened(out, opened):
    save(out, record("r2", nimg=77), record("new"))
    shutil.rmtree(out / "runs" / "r4")
    found = {summary["run_id"]: summary["nimg"] for summary in summaries(out)}
    assert found == {"new": 128, "r0": 0, "r1": 1, "r2": 77, "r3": 3, "r5": 5}
    assert sorted(opened) == ["new", "r2"]
    opened.clear()
    assert ids(out) == ["new", "r0", "r1", "r2", "r3", "r5"]
    assert opened == []


def test_a_record_written_anew_with_the_same_size_and_time_is_seen(out):
    file = out / "runs" / "r3" / "record.json"
    before = file.stat()
    save(out, record("r3", nimg=9))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert [s["nimg"] for s in summaries(out) if s["run_id"] == "r3"] == [9]


def test_a_few_new_records_are_read_again_rather_than_indexed(out, opened, monkeypatch):
    monkeypatch.setattr(index, "_NOT_WORTH_WRITING", 2)
    before = (out / INDEX).read_bytes()
    save(out, record("new"))
    assert ids(out) == ids(out) == ["new", *NAMES]
    assert opened == ["new", "new"]
    assert (out / INDEX).read_bytes() == before


def _torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _overwritten(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[10:60] = b"x" * 50
    file.write_bytes(content)


def _of_another_version(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({b"ganbench": b"0"}), file)


def _of_other_columns(file: Path) -> None:
    pq.write_table(pa.table({"name": ["r0"]}, metadata={b"ganbench": b"1"}), file)


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        lambda file: file.write_bytes(b""),
        lambda file: file.write_text("PAR1 nonsense PAR1"),
        _torn,
        _overwritten,
        _of_another_version,
        _of_other_columns,
    ],
    ids=["missing", "empty", "nonsense", "torn", "overwritten", "another version", "columns"],
)
def test_an_index_that_cannot_be_used_is_made_again(out, harm, opened):
    harm(out / INDEX)
    assert ids(out) == NAMES
    assert sorted(opened) == NAMES
    opened.clear()
    assert ids(out) == NAMES
    assert opened == []


def test_where_no_index_can_be_written_the_records_are_read(out, opened):
    (out / INDEX).unlink()
    (out / INDEX).mkdir()
    assert ids(out) == ids(out) == NAMES
    assert sorted(opened) == sorted([*NAMES, *NAMES])


def test_a_record_that_cannot_be_read_is_reported_every_time_and_left_out(out, caplog):
    (out / "runs" / "r1" / "record.json").write_text('{"run_id": "r1"')
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "ganbench"):
            assert ids(out) == [name for name in NAMES if name != "r1"]
        assert "r1/record.json can't be read" in caplog.text


def test_hidden_folders_are_runs_that_are_being_written(out):
    save(out, record(".r9.host-1.tmp"))
    assert ids(out) == NAMES


def test_numbers_that_json_has_no_word_for_come_back(out):
    save(out, record("nan", evaluated=evaluated(fid=float("nan"), kid=float("inf"))))
    list(summaries(out))
    (values,) = [s["evaluated"]["values"] for s in summaries(out) if s["run_id"] == "nan"]
    assert math.isnan(values["fid"])
    assert values["kid"] == math.inf


def test_writers_at_once_end_with_every_run_in_the_tables_and_a_whole_index(tmp_path):
    def publish(first: int) -> None:
        for i in range(first, first + 5):
            write_tables(save(tmp_path, record(f"r{i:03}")))

    threads = [threading.Thread(target=publish, args=(100 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "throughput.csv").read_text().count("\n") == 21
    assert len(ids(tmp_path)) == 20
    assert len(pq.read_table(tmp_path / INDEX)) == 20
    assert not list(tmp_path.glob(".index*"))


def test_markdown_ends_with_a_remark_where_rows_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("ganbench.tables.MOST_MARKDOWN_ROWS", 4)
    write_tables(save(tmp_path, *(record(name) for name in NAMES)))
    for name in ("throughput", "fid"):
        text = (tmp_path / f"{name}.md").read_text()
        assert text.endswith(f"\n… and 2 more rows: {name}.csv\n")
        assert text.count("\n| r") == 5  # four runs and the head, `| run_id`


@pytest.mark.parametrize(("slow", "by_threads"), [(math.inf, False), (-1.0, True)])
def test_only_a_file_system_that_is_slow_to_answer_is_asked_by_threads(
    out, monkeypatch, slow, by_threads
):
    asked_by, load = set(), RunRecord.load.__func__

    def noting(cls, folder: Path) -> RunRecord:
        asked_by.add(threading.current_thread())
        return load(cls, folder)

    monkeypatch.setattr(RunRecord, "load", classmethod(noting))
    monkeypatch.setattr(index, "_SLOW_S", slow)
    (out / INDEX).unlink()
    assert ids(out) == NAMES
    assert (asked_by == {threading.current_thread()}) != by_threads
