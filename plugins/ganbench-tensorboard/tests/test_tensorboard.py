"""Real runs, read back from the event files with TensorBoard's own reader."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganbench.grammar import Component
from ganbench.plan import make_part, make_plan
from ganbench.protocols import Snapshot
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store

SPEC = {"data": "ring8", "steps": 30, "batch_size": 8, "n_samples": 64, "threads": 1}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


def tracker_in(folder):
    component = Component("tensorboard", {"logdir": str(folder / "tb")})
    return make_part(default_registry(), "tracker", component).create()


def run(folder, **settings):
    plan = make_plan(RunSpec(**{**SPEC, "device": "cpu", **settings}), default_registry())
    return run_in_store(plan, folder / "out", trackers=[tracker_in(folder)])


def events_of(folder, run_id):
    events = EventAccumulator(str(folder / "tb" / run_id), size_guidance={"tensors": 0})
    events.Reload()
    return events


def text_of(events, tag):
    (written,) = events.Tensors(f"{tag}/text_summary")
    return written.tensor_proto.string_val[0].decode()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorboard")
    outcome = run(folder)
    return outcome, events_of(folder, outcome.record.run_id)


def test_the_losses_are_those_of_the_history(finished):
    outcome, events = finished
    header, *rows = (outcome.folder / "history.csv").read_text().splitlines()
    history = [dict(zip(header.split(","), row.split(","), strict=True)) for row in rows]
    by_step = {int(row["step"]): row for row in history}
    for term in ("d_nonsat", "g_nonsat"):
        written = events.Scalars(f"loss/{term}")
        assert written
        for point in written:
            assert point.value == pytest.approx(float(by_step[point.step][term]), rel=1e-5)
    assert written[-1].step == 30


def test_metrics_and_throughput_are_those_of_the_record(finished):
    outcome, events = finished
    record = outcome.record
    for name, value in record.evaluated.values.items():
        (point,) = events.Scalars(f"metric/{name}")
        assert (point.step, point.value) == (30, pytest.approx(value, rel=1e-5))
    (point,) = events.Scalars("throughput/images_per_s")
    assert point.value == pytest.approx(record.throughput.images_per_s, rel=1e-5)


def test_the_picture_is_that_of_the_run(finished):
    outcome, events = finished
    (image,) = events.Images("samples")
    with Image.open(outcome.folder / "samples.png") as samples:
        expected = np.asarray(samples.convert("RGB"))
    with Image.open(io.BytesIO(image.encoded_image_string)) as written:
        assert np.array_equal(np.asarray(written), expected)


def test_spec_and_record_can_be_read_back(finished):
    outcome, events = finished
    assert json.loads(text_of(events, "spec")) == json.loads(outcome.record.spec.model_dump_json())
    assert json.loads(text_of(events, "record"))["run_id"] == outcome.record.run_id
    assert text_of(events, "status") == "completed"


def test_a_run_that_diverged_says_so(tmp_path):
    outcome = run(tmp_path, opt="sgd:lr=1e30")
    assert outcome.record.status == "diverged"
    assert text_of(events_of(tmp_path, outcome.record.run_id), "status") == "diverged"


def test_a_continued_run_has_one_line(tmp_path):
    spec = RunSpec(**SPEC)
    for first, value in ((1, 5.0), (3, 7.0)):  # the first attempt got to step 4 and was killed
        tracker = tracker_in(tmp_path)
        tracker.run_start(spec, "a-run")
        for step in range(first, first + 4):
            tracker.progress(Snapshot(step, 10, 8 * step, {"d_nonsat": value}, 1.0))
        tracker.writer.close()
    points = events_of(tmp_path, "a-run").Scalars("loss/d_nonsat")
    assert [(p.step, p.value) for p in points] == [(1, 5), (2, 5), (3, 7), (4, 7), (5, 7), (6, 7)]
