"""Real runs, read back from a real tracking store on SQLite."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from ganbench.grammar import Component
from ganbench.plan import make_part, make_plan
from ganbench.protocols import Snapshot
from ganbench.record import RunRecord
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store

SPEC = {"data": "ring8", "steps": 30, "batch_size": 8, "n_samples": 64, "threads": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a tracking store, where MLflow keeps its artifacts too."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def uri_of(store):
    return f"sqlite:///{store}/mlflow.db"


def tracker_in(store, experiment="ganbench"):
    component = Component("mlflow", {"tracking_uri": uri_of(store), "experiment": experiment})
    return make_part(default_registry(), "tracker", component).create()


def run(store, trackers, **settings):
    plan = make_plan(RunSpec(**{**SPEC, "device": "cpu", **settings}), default_registry())
    return run_in_store(plan, store / "out", trackers=trackers)


def runs_of(store, experiment):
    client = MlflowClient(uri_of(store))
    return client, client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


@pytest.fixture(scope="module")
def finished(store):
    outcome = run(store, [tracker_in(store)])
    client, (logged,) = runs_of(store, "ganbench")
    return outcome, client, logged


def test_a_run_is_named_finished_and_has_its_spec_as_parameters(finished):
    outcome, _, logged = finished
    assert logged.info.run_name == outcome.record.run_id
    assert logged.info.status == "FINISHED"
    assert logged.data.params["data"] == "ring8"
    assert logged.data.params["steps"] == "30"


def test_metrics_and_throughput_are_those_of_the_record(finished):
    outcome, _, logged = finished
    for name, value in outcome.record.evaluated.values.items():
        assert logged.data.metrics[f"metric/{name}"] == pytest.approx(value)
    speed = outcome.record.throughput.images_per_s
    assert logged.data.metrics["throughput/images_per_s"] == pytest.approx(speed)


def test_losses_have_their_steps(finished):
    outcome, client, logged = finished
    last = (outcome.folder / "history.csv").read_text().splitlines()[-1].split(",")
    points = client.get_metric_history(logged.info.run_id, "loss/d_nonsat")
    latest = max(points, key=lambda point: point.step)
    assert (latest.step, latest.value) == (int(last[0]), pytest.approx(float(last[2])))


def test_pictures_and_record_are_artifacts_and_weights_are_not(finished, tmp_path):
    outcome, client, logged = finished
    files = {file.path for file in client.list_artifacts(logged.info.run_id)}
    assert files == {"history.csv", "record.json", "samples.png"}
    copy = client.download_artifacts(logged.info.run_id, "record.json", str(tmp_path))
    with open(copy, encoding="utf-8") as file:
        assert RunRecord.model_validate(json.load(file)) == outcome.record


def test_a_run_that_diverged_is_finished_and_says_so(store):
    run(store, [tracker_in(store, "diverged")], opt="sgd:lr=1e30")
    _, (logged,) = runs_of(store, "diverged")
    assert (logged.info.status, logged.data.tags["ganbench.status"]) == ("FINISHED", "diverged")


def test_a_run_that_fails_before_it_starts_is_logged_as_failed(store, tmp_path):
    record = RunRecord(
        run_id="a-run",
        spec=RunSpec(**SPEC),
        spec_sha256="0",
        status="failed",
        steps_done=0,
        nimg=0,
        error="ValueError: too bad",
    )
    (tmp_path / "error.txt").write_text("ValueError: too bad")
    tracker_in(store, "failed").run_end(record, tmp_path)
    client, (logged,) = runs_of(store, "failed")
    assert logged.info.status == "FAILED"
    assert [file.path for file in client.list_artifacts(logged.info.run_id)] == ["error.txt"]


def test_a_run_that_was_killed_and_goes_on_is_one_run(store):
    spec = RunSpec(**SPEC)
    for step in (5, 10):
        tracker = tracker_in(store, "killed")
        tracker.run_start(spec, "a-run")
        tracker.progress(Snapshot(step, 30, 8 * step, {"d_nonsat": 1.0}, 2.0))
    client, (logged,) = runs_of(store, "killed")
    points = client.get_metric_history(logged.info.run_id, "loss/d_nonsat")
    assert [point.step for point in points] == [5, 10]


def test_the_command_logs_finished_runs_once(store, finished):
    outcome, *_ = finished
    command = [sys.executable, "-m", "ganbench", "mlflow-log", "out"]
    command += ["--tracking-uri", uri_of(store), "--experiment", "later"]
    counts = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        counts.append(int(done.stdout.split()[0]))
    client, logged = runs_of(store, "later")
    assert counts == [len(logged), 0]
    (one,) = [run for run in logged if run.info.run_name == outcome.record.run_id]
    points = client.get_metric_history(one.info.run_id, "loss/d_nonsat")
    assert [point.step for point in points] == list(range(1, 31))
