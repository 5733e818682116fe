"""Tables come from records: exact columns, full numbers in csv, readable ones in Markdown."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ganbench import tables
from ganbench.cli.concise import concise_tables
from ganbench.errors import GanbenchError
from ganbench.index import Summary
from ganbench.record import Evaluated, RunRecord, Throughput
from ganbench.spec import RunSpec
from ganbench.tables import as_rows, fid_frame, throughput_frame, write_tables

COMMON = (
    "run_id,generator,discriminator,loss,opt_g,opt_d,rule,data,batch_size,n_dis,steps,seed,"
    "device,precision,status"
)
SPEED = Throughput(
    images_per_s=12345.678901234567,
    images_per_s_p10=0.1 + 0.2,
    images_per_s_p90=1e-7,
    ms_per_step_p50=10.5,
    ms_per_step_p95=1 / 3,
    cpu_ms_per_step_p50=20.0,
    peak_memory_mb=512.25,
    gflops_per_step=0.5,
    matmul_gflops_per_s=100.0,
    fraction_of_peak=0.25,
    warmup_steps=10,
    timed_steps=90,
)
VALUES = {
    "fid": 12.3456789012345678,
    "kid": 0.01,
    "kid_std": 0.002,
    "precision": 0.5,
    "recall": 0.25,
}


def evaluated(extractor: str | None = "fmnist-cnn-v1", **values: float) -> Evaluated:
    return Evaluated(
        extractor=extractor,
        extractor_sha256="ab" * 32 if extractor else None,
        preprocessing=None,
        n_real=10_000,
        n_fake=500,
        values=values or VALUES,
        elapsed_s=1.0,
    )


def record(run_id: str = "a", status: str = "completed", **changes) -> RunRecord:
    spec = changes.pop("spec", RunSpec(device="cpu"))
    results = {"throughput": SPEED, "evaluated": evaluated()}
    if status == "diverged":
        results = {"throughput": None, "evaluated": None, "diverged_step": 3}
    fields = {"spec_sha256": "0" * 64, "steps_done": 1, "nimg": 128, **results, **changes}
    return RunRecord(run_id=run_id, spec=spec, status=status, **fields)


def save(out: Path, *records: RunRecord) -> Path:
    for one in records:
        one.save(out / "runs" / one.run_id)
    return out


def test_the_columns_of_both_files_are_the_documented_ones(tmp_path):
    write_tables(save(tmp_path, record()))
    assert (tmp_path / "throughput.csv").read_text().splitlines()[0] == (
        f"{COMMON},images_per_s,images_per_s_p10,images_per_s_p90,ms_per_step_p50,ms_per_step_p95,"
        "peak_memory_mb,gflops_per_step,fraction_of_peak,warmup_steps,timed_steps,timing_valid"
    )
    assert (tmp_path / "fid.csv").read_text().splitlines()[0] == (
        f"{COMMON},extractor,extractor_sha256,n_real,n_fake,fid,kid,kid_std,precision,recall"
    )


def test_any_other_metric_follows_the_documented_columns(tmp_path):
    write_tables(save(tmp_path, record(evaluated=evaluated(**VALUES, fid_infinity=1.5))))
    assert (tmp_path / "fid.csv").read_text().splitlines()[0].endswith(",recall,fid_infinity")


def test_csv_numbers_read_back_as_the_same_floats(tmp_path):
    write_tables(save(tmp_path, record()))
    read = pd.read_csv(tmp_path / "throughput.csv", dtype=str).iloc[0]
    assert float(read["images_per_s"]) == SPEED.images_per_s
    assert float(read["images_per_s_p10"]) == 0.30000000000000004
    assert float(read["images_per_s_p90"]) == 1e-7
    assert float(read["ms_per_step_p95"]) == 1 / 3


def test_the_arithmetic_and_the_metric_called_precision_both_survive(tmp_path):
    write_tables(save(tmp_path, record()))
    read = pd.read_csv(tmp_path / "fid.csv").iloc[0]
    assert (read["precision"], read["precision.1"]) == ("fp32", 0.5)
    frame = record().to_frame().iloc[0]
    assert (frame["precision"], frame["precision.1"]) == ("fp32", 0.5)


def test_frames_equal_what_pandas_reads_from_the_files(tmp_path):
    throughput, fid = write_tables(save(tmp_path, record("a"), record("b", "diverged")))
    for frame, name in ((throughput, "throughput.csv"), (fid, "fid.csv")):
        read = pd.read_csv(tmp_path / name)
        pd.testing.assert_frame_equal(
            frame.where(frame.notna(), np.nan).infer_objects(), read, check_dtype=False, rtol=1e-12
        )


def test_a_diverged_run_stays_in_both_tables_with_empty_numbers(tmp_path):
    write_tables(save(tmp_path, record("a"), record("b", "diverged")))
    fid = pd.read_csv(tmp_path / "fid.csv").set_index("run_id")
    speed = pd.read_csv(tmp_path / "throughput.csv").set_index("run_id")
    assert fid.loc["b", "status"] == speed.loc["b", "status"] == "diverged"
    assert fid.loc["b", "extractor"] == "fmnist-cnn-v1"
    assert np.isnan(fid.loc["b", "fid"])
    assert np.isnan(speed.loc["b", "images_per_s"])
    assert "diverged" in (tmp_path / "fid.md").read_text()
    assert "diverged" in (tmp_path / "throughput.md").read_text()


def test_whole_numbers_stay_whole_beside_an_empty_cell(tmp_path):
    write_tables(save(tmp_path, record("a"), record("b", "diverged")))
    assert (tmp_path / "throughput.csv").read_text().splitlines()[1].endswith(",10,90,")


def test_a_markdown_fid_column_names_its_extractor_and_each_has_its_own_table(tmp_path):
    inception = evaluated("inception-v3-compat")
    write_tables(save(tmp_path, record("a"), record("b", evaluated=inception)))
    text = (tmp_path / "fid.md").read_text()
    assert "FID (fmnist-cnn-v1)" in text
    assert "FID (inception-v3-compat)" in text
    assert text.count("| run_id ") == 2


def test_markdown_rounds_to_four_digits_and_leaves_big_numbers_whole(tmp_path):
    write_tables(save(tmp_path, record()))
    assert "| 12346 |" in " ".join((tmp_path / "throughput.md").read_text().split())
    assert "12.35 |" in (tmp_path / "fid.md").read_text()


def test_a_metric_of_points_has_no_fid_column(tmp_path):
    points = evaluated(None, modes_covered=8.0)
    write_tables(save(tmp_path, record(evaluated=points)))
    text = (tmp_path / "fid.md").read_text()
    assert "modes_covered" in text
    assert "FID (" not in text


def test_a_bar_in_a_component_does_not_break_a_markdown_row(tmp_path):
    spec = RunSpec(device="cpu", generator='mlp:init="a|b"')
    write_tables(save(tmp_path, record(spec=spec)))
    assert "a\\|b" in (tmp_path / "fid.md").read_text()


def test_deleted_tables_come_back_the_same_and_no_other_file_appears(tmp_path):
    write_tables(save(tmp_path, record("a"), record("b", "diverged")))
    names = ["fid.csv", "fid.md", "throughput.csv", "throughput.md"]
    before = {name: (tmp_path / name).read_bytes() for name in names}
    for name in names:
        (tmp_path / name).unlink()
    write_tables(tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*names, "runs"])


def test_tables_written_while_records_arrive_end_with_every_run(tmp_path):
    """Each writer publishes a record, then the tables, as runs do; nobody waits for another."""

    def publish(first: int) -> None:
        for i in range(first, first + 5):
            write_tables(save(tmp_path, record(f"r{i:03}")))

    threads = [threading.Thread(target=publish, args=(100 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("fid.csv", "throughput.csv"):
        assert len(pd.read_csv(tmp_path / name)) == 20


def test_a_run_that_ends_while_the_tables_are_made_is_in_them(tmp_path, monkeypatch):
    """The other process's run appears right after the records were read."""
    save(tmp_path, record("a"))
    read, others = tables.summaries, [record("b")]

    def read_and_meanwhile(out: Path) -> list[Summary]:
        found = list(read(out))
        save(out, *others)
        others.clear()
        return found

    monkeypatch.setattr(tables, "summaries", read_and_meanwhile)
    write_tables(tmp_path)
    assert list(pd.read_csv(tmp_path / "throughput.csv")["run_id"]) == ["a", "b"]


def test_tables_that_cannot_be_written_say_so_and_how_to_go_on(tmp_path):
    (save(tmp_path, record()) / "throughput.csv").mkdir()
    with pytest.raises(GanbenchError, match=r"can't be written.*ganbench table"):
        write_tables(tmp_path)


def test_the_concise_tables_say_once_what_all_rows_share():
    records = [record("a"), record("b", spec=RunSpec(device="cpu", opt="sgd"))]
    text = concise_tables(throughput_frame(records), fid_frame(records))
    assert text.splitlines()[0] == (
        "All runs: generator mlp, discriminator mlp, rule alternating, data fashion-mnist-10k, "
        "batch_size 128, n_dis 1, steps 1500, seed 0, device cpu, precision fp32."
    )
    assert "500 generated against 10000 real" in text
    header = next(line for line in text.splitlines() if "FID" in line)
    cells = [cell.strip() for cell in header.strip("|").split("|")]
    assert cells[:4] == ["loss", "opt", "status", "FID (fmnist-cnn-v1)"]


def test_the_concise_tables_show_what_differs():
    bf16 = RunSpec(device="cpu", precision="bf16", opt_g="sgd")
    records = [record("a"), record("b", spec=bf16), record("c", "diverged")]
    text = concise_tables(throughput_frame(records), fid_frame(records))
    header = next(line for line in text.splitlines() if "FID" in line)
    cells = [cell.strip() for cell in header.strip("|").split("|")]
    assert cells[:6] == ["loss", "opt_g", "opt_d", "precision", "status", "FID (fmnist-cnn-v1)"]
    assert "precision (fmnist-cnn-v1)" in cells


def test_a_table_of_diverged_runs_only_can_be_read():
    records = [record("b", "diverged")]
    text = concise_tables(throughput_frame(records), fid_frame(records))
    assert text.count("diverged") == 2


def test_rows_for_json_have_null_where_there_is_no_number():
    (row,) = as_rows(fid_frame([record(evaluated=evaluated(fid=float("nan")))]))
    assert row["fid"] is None
    assert row["recall"] is None
