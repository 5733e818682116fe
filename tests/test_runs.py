"""Whole runs: the same bits again, whatever is measured beside them, and every way to end."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import ganbench
from ganbench import RunRecord, RunSpec, load_records
from ganbench.clock import Chunk
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.protocols import Snapshot
from ganbench.throughput import throughput_of
from ganbench.training import Training

SMALL = {
    "generator": "mlp:hidden=[16]",
    "discriminator": "mlp:hidden=[16]",
    "steps": 40,
    "batch_size": 16,
    "n_samples": 200,
    "metrics": "fid",
    "threads": 1,
    "device": "cpu",
}


class Silent:
    """A tracker that does nothing; tests override what they need."""

    def run_start(self, spec: RunSpec, run_id: str) -> None: ...

    def progress(self, snapshot: Snapshot) -> None: ...

    def run_end(self, record: RunRecord, folder: Path) -> None: ...


class StopAfter(Silent):
    """Ctrl-C once this many steps are done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def progress(self, snapshot: Snapshot) -> None:
        if snapshot.step >= self.step:
            os.kill(os.getpid(), signal.SIGINT)
            self.step = 10**9


def run(out: Path, *trackers, force: bool = False, **settings) -> RunRecord:
    return ganbench.run(RunSpec(**{**SMALL, **settings}), out, force=force, trackers=trackers)


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> tuple[Path, RunRecord]:
    out = tmp_path_factory.mktemp("reference")
    return out, run(out)


def folder_of(out: Path, record: RunRecord) -> Path:
    return out / "runs" / record.run_id


def test_a_run_leaves_its_record_pictures_history_weights_and_tables(reference):
    out, record = reference
    names = {path.name for path in folder_of(out, record).iterdir()}
    assert names == {
        "record.json",
        "history.csv",
        "samples.png",
        "generator.safetensors",
        "discriminator.safetensors",
    }
    assert {p.name for p in out.iterdir()} == {
        "runs",
        "throughput.csv",
        "throughput.md",
        "fid.csv",
        "fid.md",
    }
    assert record.status == "completed"
    assert record.evaluated.values["fid"] > 0
    assert RunRecord.load(folder_of(out, record)) == record


def test_the_history_holds_the_terms_of_every_step(reference):
    out, record = reference
    history = pd.read_csv(folder_of(out, record) / "history.csv")
    assert history["step"].tolist() == list(range(1, 41))
    assert history["nimg"].tolist() == [16 * step for step in range(1, 41)]
    assert history["d_nonsat"][0] == pytest.approx(2 * np.log(2), abs=0.5)
    assert history.notna().all(axis=None)


def test_the_saved_generator_draws_the_saved_run(reference, registry):
    out, record = reference
    weights = load_file(folder_of(out, record) / "generator.safetensors")
    assert sum(w.numel() for w in weights.values()) == 100 * 16 + 16 + 16 * 784 + 784


def test_throughput_counts_the_timed_steps_only(reference):
    _, record = reference
    throughput = record.throughput
    assert throughput.warmup_steps + throughput.timed_steps == 40
    assert throughput.warmup_steps == 4
    # Between two chunks in the middle the mean of the rates is at least that of the mean time.
    assert throughput.images_per_s >= 16e3 / throughput.ms_per_step_p50 * (1 - 1e-9)
    assert throughput.images_per_s_p10 <= throughput.images_per_s <= throughput.images_per_s_p90
    assert 0 < throughput.fraction_of_peak < 1.5


def test_throughput_is_of_medians_and_percentiles_over_chunks():
    chunks = [Chunk(10, wall_s, wall_s / 2) for wall_s in (0.1, 0.4, 0.2)]
    found = throughput_of(
        chunks,
        images_per_step=16,
        warmup_steps=4,
        gflops_per_step=0.5,
        matmul_gflops_per_s=100,
        peak_memory_bytes=3_000_000,
        timing_valid=None,
    )
    # 10, 40 and 20 ms a step are 1600, 400 and 800 images/s
    assert (found.ms_per_step_p50, found.cpu_ms_per_step_p50) == pytest.approx((20, 10))
    assert found.ms_per_step_p95 == pytest.approx(20 + 0.9 * 20)
    assert found.images_per_s == pytest.approx(800)
    assert found.images_per_s_p10 == pytest.approx(400 + 0.2 * 400)
    assert found.images_per_s_p90 == pytest.approx(800 + 0.8 * 800)
    assert found.fraction_of_peak == pytest.approx(0.5 / 0.02 / 100)
    assert (found.timed_steps, found.peak_memory_mb) == (30, 3)


def test_flops_of_a_step_are_counted_by_hand(reference):
    # A product of N×a by a×b is 2Nab. G: 100·16 + 16·784 = 14144 weights, D: 784·16 + 16 = 12560.
    # D's update: G once forward; D on real and fake, forward and for its weights (2 × 2), and for
    # the hidden activations (the last layer's 16, twice). G's update: G and D forward, D for its
    # inputs (all 12560), G for its weights and its hidden activations (16·784).
    g, d, batch = 14144, 12560, 16
    update_d = g + 2 * (d + d + 16)
    update_g = g + d + d + g + 16 * 784
    expected = 2 * batch * (update_d + update_g) / 1e9
    assert reference[1].throughput.gflops_per_step == pytest.approx(expected, rel=1e-6)


def test_the_same_spec_again_is_found_not_repeated(reference):
    out, record = reference
    before = (folder_of(out, record) / "record.json").stat().st_mtime_ns
    assert run(out) == record
    assert (folder_of(out, record) / "record.json").stat().st_mtime_ns == before


def test_force_runs_again_and_finds_the_same_bits(reference, tmp_path):
    _, record = reference
    run(tmp_path, metrics="none", steps=3)
    first = run(tmp_path)
    again = run(tmp_path, force=True)
    assert again.started_at >= first.started_at
    assert again.weights_sha256 == first.weights_sha256 == record.weights_sha256
    assert again.evaluated.values == first.evaluated.values == record.evaluated.values


def test_another_seed_gives_other_weights_and_another_fid(reference, tmp_path):
    _, record = reference
    other = run(tmp_path, seed=1)
    assert other.weights_sha256 != record.weights_sha256
    assert other.evaluated.values != record.evaluated.values


@pytest.mark.parametrize(
    "beside",
    [
        {"metrics": "none"},
        {"metrics": "fid,kid,precision-recall"},
        {"n_samples": 100},
        {"checkpoint_every": 3},
        {"eval_every": 7},
    ],
)
def test_what_is_measured_beside_training_changes_no_weight(reference, tmp_path, beside):
    assert run(tmp_path, **beside).weights_sha256 == reference[1].weights_sha256


def test_a_tracker_that_uses_random_numbers_changes_no_weight(reference, tmp_path):
    class Dice(Silent):
        def progress(self, snapshot: Snapshot) -> None:
            torch.rand(3)
            np.random.rand(3)

    assert run(tmp_path, Dice()).weights_sha256 == reference[1].weights_sha256


def test_the_callers_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(tmp_path, metrics="none", steps=2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"opt": "adam", "ema_halflife_kimg": 0.1, "schedule": "cosine"},
        {"loss": "hinge+ada"},
        {"rule": "lookahead-minimax", "opt_d": "optimistic-adam"},
        {"generator": "dcgan:width=4", "discriminator": "dcgan:width=4", "steps": 10},
    ],
    ids=str,
)
def test_measuring_on_the_way_changes_no_weight(tmp_path, settings):
    plain = run(tmp_path, **settings)
    measured = run(tmp_path, eval_every=3, **settings)
    assert measured.weights_sha256 == plain.weights_sha256
    assert measured.evaluated.values == plain.evaluated.values


def test_evaluations_are_those_of_runs_that_end_there(tmp_path):
    """Without a schedule, the first 20 of 40 steps are a run of 20 steps."""
    record = run(tmp_path, eval_every=20)
    assert [(at.step, at.nimg) for at in record.evaluations] == [(20, 320), (40, 640)]
    assert record.evaluations[0].values == run(tmp_path, steps=20).evaluated.values
    assert record.evaluations[1].values == record.evaluated.values
    first, last = (at.train_s for at in record.evaluations)
    assert 0 < first < last < record.elapsed_s
    written = pd.read_csv(folder_of(tmp_path, record) / "evaluations.csv")
    assert written.columns.tolist() == ["step", "nimg", "train_s", "fid"]
    assert written["fid"].tolist() == [at.values["fid"] for at in record.evaluations]


def test_training_time_on_the_way_leaves_evaluation_out(tmp_path, monkeypatch):
    """Each of the five measurements on the way sleeps 0.2 s, longer than all of the training."""
    from ganbench import execution

    def slowly(*args):
        time.sleep(0.2)
        return measure(*args)

    measure = execution.measure
    monkeypatch.setattr(execution, "measure", slowly)
    record = run(tmp_path, eval_every=7, steps=40)
    assert len(record.evaluations) == 6
    assert record.elapsed_s > 1.0
    assert record.evaluations[-1].train_s < record.elapsed_s - 1.0


def test_an_interrupted_run_keeps_its_evaluations(tmp_path):
    whole = run(tmp_path / "whole", eval_every=4)
    first = run(tmp_path / "parts", StopAfter(6), eval_every=4)
    assert first.status == "interrupted"
    second = run(tmp_path / "parts", eval_every=4)
    assert [(at.step, at.values) for at in second.evaluations] == [
        (at.step, at.values) for at in whole.evaluations
    ]
    train_s = [at.train_s for at in second.evaluations]
    assert train_s == sorted(train_s)


def test_a_generator_that_cannot_be_measured_on_the_way_leaves_an_empty_row(tmp_path, monkeypatch):
    from ganbench import execution
    from ganbench.training import Training

    monkeypatch.setattr(Training, "finite", lambda self: self.game.step != 10)
    monkeypatch.setattr(execution, "WARMUP_STEPS", 0)
    record = run(tmp_path, eval_every=10, steps=20)
    assert [bool(at.values) for at in record.evaluations] == [False, True]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"opt": "adam", "rule": "extragradient-past", "ema_halflife_kimg": 0.1},
        {"generator": "dcgan:width=4", "discriminator": "dcgan:width=4", "schedule": "cosine"},
        {"loss": "nonsat+wgan-gp", "opt": 'lookahead:base="sgd"'},
        {"rule": "lookahead-minimax", "opt_d": "optimistic-adam"},
        {"loss": "hinge+ada", "steps": 30},
    ],
    ids=str,
)
def test_an_interrupted_run_goes_on_to_the_bits_of_one_that_was_not(tmp_path, settings):
    whole = run(tmp_path / "whole", **settings)
    first = run(tmp_path / "parts", StopAfter(3), **settings)
    assert first.status == "interrupted"
    assert 3 <= first.steps_done < 30
    assert first.weights_sha256 is None
    second = run(tmp_path / "parts", **settings)
    assert second.status == "completed"
    assert second.weights_sha256 == whole.weights_sha256
    assert second.evaluated.values == whole.evaluated.values
    assert not (tmp_path / "parts" / "checkpoints").exists()
    histories = [
        (tmp_path / part / "runs" / whole.run_id / "history.csv").read_text()
        for part in ("whole", "parts")
    ]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("complex_", [False, True])
def test_one_weight_that_is_no_number_is_seen(play, value, complex_):
    game, rule = play(**SMALL)
    training = Training(game, rule, 1, 0)
    assert training.finite()
    weights = nn.Parameter(torch.zeros(3, dtype=torch.complex64 if complex_ else torch.bfloat16))
    game.discriminator.module.register_parameter("another", weights)
    game.discriminator.module.register_parameter("none_at_all", nn.Parameter(torch.zeros(0)))
    assert training.finite()
    weights.data[1] = value
    assert not training.finite()


def test_a_run_that_stops_being_finite_ends_as_diverged_with_its_step(tmp_path):
    record = run(tmp_path, opt="sgd:lr=1e30", steps=30)
    assert record.status == "diverged"
    assert 1 <= record.diverged_step <= 5
    assert record.steps_done == record.diverged_step
    assert record.weights_sha256 is None
    history = pd.read_csv(folder_of(tmp_path, record) / "history.csv")
    assert history["step"].iloc[-1] == record.diverged_step
    for table in ("throughput.csv", "fid.csv"):
        assert pd.read_csv(tmp_path / table)["status"].tolist() == ["diverged"]


def test_a_failure_inside_a_run_is_a_record_with_its_traceback(tmp_path):
    class Broken(Silent):
        def progress(self, snapshot: Snapshot) -> None:
            raise RuntimeError("the tracker fell over")

    record = run(tmp_path, Broken())
    assert record.status == "failed"
    assert record.error == "RuntimeError: the tracker fell over"
    assert "Traceback" in (folder_of(tmp_path, record) / "error.txt").read_text()
    assert run(tmp_path).status == "completed"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 10_001}, "the data has 10000 examples"),
        ({"generator": "dirac"}, "makes|plays on points"),
        ({"metrics": "mode-coverage"}, "needs data with known modes"),
        ({"data": "ring8", "metrics": "fid"}, "extractors have no features"),
        ({"loss": "l1"}, "gives the discriminator nothing to descend"),
        ({"loss": "began"}, "autoencoder"),
        ({"rule": "unrolled", "opt": "lbfgs"}, "differentiable"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("batch_size", "found"),
    # 100 examples hold one batch of 51 to 100, and two of 50.
    [("full", "has 1: 100 examples, and batch_size is full"), (51, "has 1: .* batch_size is 51")],
)
def test_a_rule_that_needs_two_batches_is_refused_on_data_that_has_one(tmp_path, batch_size, found):
    two = {"rule": "extragradient:batches=2", "data": "ring8:n=100", "metrics": ()}
    with pytest.raises(
        IncompatibleParts,
        match=rf"rule 'extragradient:batches=2' needs 2 .* data 'ring8:n=100' {found}"
        r".*; set batch_size to 50 or less",
    ):
        run(tmp_path / "out", **two, batch_size=batch_size)
    assert not (tmp_path / "out").exists()
    assert run(tmp_path / "out", **two, batch_size=50).status == "completed"


def test_the_rule_of_a_plugin_says_how_many_batches_it_needs(ganbench_cli, tmp_path):
    plugin = tmp_path / "thrice.py"
    plugin.write_text(
        "from ganbench import hookimpl\n"
        "from ganbench.rules import simultaneous\n"
        "def thrice():\n"
        "    def step(game):\n"
        "        game.draw(), game.draw()\n"
        "        return simultaneous()(game)\n"
        "    step.batches = 3\n"
        "    return step\n"
        "@hookimpl\n"
        "def ganbench_rules():\n"
        "    return {'thrice': thrice}\n"
    )
    parts = ("--rule", "thrice", "--data", "ring8:n=100", "--batch-size", 50)
    answer = ganbench_cli("-p", plugin, "run", *parts, "--steps", 2, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "rule 'thrice' needs 3 batches" in answer.err
    assert "has 2: 100 examples" in answer.err
    assert "set batch_size to 33 or less" in answer.err
    assert not (tmp_path / "out").exists()


def test_a_record_that_cannot_be_read_is_left_out_and_named(reference, tmp_path, caplog):
    record = run(tmp_path)
    broken = tmp_path / "runs" / "broken"
    broken.mkdir()
    (broken / "record.json").write_text('{"run_id": ')
    assert load_records(tmp_path) == [record]
    assert "broken" in caplog.text


def test_a_checkpoint_of_another_run_is_not_taken_up(tmp_path):
    first = run(tmp_path, StopAfter(3))
    (other,) = (tmp_path / "checkpoints").iterdir()
    pointer = json.loads((other / "checkpoint.json").read_text())
    assert pointer["step"] == first.steps_done
    fresh = run(tmp_path, seed=4)
    assert fresh.weights_sha256 == run(tmp_path / "fresh", seed=4).weights_sha256


def test_a_damaged_checkpoint_means_a_fresh_start(tmp_path, reference):
    run(tmp_path, StopAfter(3))
    (folder,) = (tmp_path / "checkpoints").iterdir()
    for file in folder.glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    assert run(tmp_path).weights_sha256 == reference[1].weights_sha256


def test_micro_batches_do_not_change_what_a_step_shows(tmp_path):
    whole = run(tmp_path, steps=4, opt="sgd", metrics="none")
    pieces = run(tmp_path, steps=4, opt="sgd", metrics="none", micro_batch_size=5)
    assert pieces.nimg == whole.nimg == 64
    assert pieces.spec_sha256 != whole.spec_sha256


def test_incompatible_parts_are_usage_errors():
    assert issubclass(IncompatibleParts, UsageError)


def test_a_record_becomes_a_row(reference):
    row = reference[1].to_frame().iloc[0]
    assert row["loss"] == "nonsat"
    assert row["fid"] == reference[1].evaluated.values["fid"]
