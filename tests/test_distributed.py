"""One run on two ranks: two processes, started by torchrun, that talk through gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import ganbench
from ganbench.errors import UsageError
from ganbench.plan import make_plan
from ganbench.spec import RunSpec

TORCHRUN = [
    *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"),
    *("--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"),
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

SMALL: dict[str, Any] = {
    "generator": "mlp:hidden=[16]",
    "discriminator": "mlp:hidden=[16]",
    "z_dim": 4,
    "data": "ring8:n=400",
    "metrics": "none",
    "steps": 12,
    "batch_size": 33,
    "device": "cpu",
    "threads": 1,
}
IMAGES: dict[str, Any] = {"data": "fashion-mnist-10k", "batch_size": 9, "steps": 6}
DCGAN: dict[str, Any] = {
    **IMAGES,
    "generator": "dcgan:width=4",
    "discriminator": "dcgan:width=4",
    "opt": "sgd:lr=0.01",
}
SAME: dict[str, dict[str, Any]] = {
    "uneven shards": {"opt": "sgd", "rule": "simultaneous", "ema_halflife_kimg": 0.1},
    "micro-batches": {"batch_size": 40, "micro_batch_size": 12},
    "the whole data set": {"opt": "gd", "batch_size": "full", "micro_batch_size": 150},
    "a penalty's noise": {"loss": "wgan+wgan-gp", "n_dis": 2},
    "noise of every feature": {"loss": "nonsat+instance-noise"},
    "a rule with a memory": {"loss": "nonsat+r1", "rule": "extragradient-past"},
    "an optimizer that reads the loss": {"opt": "lbfgs:lr=0.1", "steps": 3},
    "augmentation": {**IMAGES, "loss": "hinge+diffaug", "opt": "sgd"},
    "synchronised batch norm": {**DCGAN, "sync_batch_norm": True, "loss": "nonsat"},
    "its second derivatives": {**DCGAN, "sync_batch_norm": True, "loss": "nonsat+r1:gamma=1"},
}
REFUSED = {
    "ragan": ("loss 'ragan' pairs or averages across the batch", {"loss": "ragan"}),
    "unrolled": ("rule 'unrolled' pairs or averages", {"rule": "unrolled"}),
    "dragan": ("loss 'dragan' pairs or averages across the batch", {"loss": "nonsat+dragan"}),
    "began": (
        "the loss's state (0) differs by",
        {**IMAGES, "loss": "began", "discriminator": "autoencoder:width=4,embedding=4"},
    ),
    "consensus": ("penalises both players' whole gradients", {"loss": "nonsat+consensus"}),
    "few": ("an example for every rank", {"batch_size": 1}),
}
LONGER = {"steps": 60, "opt": "sgd"}
EVENTS: dict[str, dict[str, Any]] = {
    "batch norm of each rank": {"spec": DCGAN},
    "again": {"spec": SAME["uneven shards"]},
    "stopped": {"spec": LONGER, "trouble": ("stop", 1, 3)},
    "broken": {"spec": LONGER, "trouble": ("error", 1, 3)},
}


def specs() -> dict[str, dict[str, Any]]:
    """Every case by name, as `ranks.py` reads it."""
    cases = {name: {"spec": settings} for name, settings in SAME.items()}
    cases |= {name: {"spec": settings} for name, (_, settings) in REFUSED.items()}
    cases |= EVENTS
    return {name: {**case, "spec": {**SMALL, **case["spec"]}} for name, case in cases.items()}


def torchrun(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TORCHRUN, *map(str, command)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=600,
        **options,
    )


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> tuple[Path, list[dict[str, Any]]]:
    """The results folders, and what each of two ranks saw of every case."""
    out = tmp_path_factory.mktemp("ranks")
    (out / "cases.json").write_text(json.dumps(specs()))
    script = Path(__file__).with_name("ranks.py")
    done = torchrun(script, out / "cases.json", out)
    assert done.returncode == 0, done.stderr
    return out, [json.loads((out / f"seen-{rank}.json").read_text()) for rank in range(2)]


def weights(folder: Path) -> torch.Tensor:
    """All weights of a results folder's only run, generator's first."""
    files = [
        next(folder.glob(f"runs/*/{one}.safetensors")) for one in ("generator", "discriminator")
    ]
    tensors = [dict(sorted(load_file(file).items())) for file in files]
    return torch.cat([t.double().reshape(-1) for one in tensors for t in one.values()])


@pytest.mark.parametrize("name", SAME)
def test_two_ranks_end_where_one_process_does_to_rounding(name, seen, tmp_path):
    out, (leader, follower) = seen
    spec = {**specs()[name]["spec"], "sync_batch_norm": False}
    alone = ganbench.run(RunSpec(**spec), tmp_path)
    record = leader[name]["record"]
    assert record["status"] == alone.status == "completed"
    assert record["nimg"] == alone.nimg
    assert record["environment"]["ranks_agree"]
    assert record == follower[name]["record"]
    one, two = weights(tmp_path), weights(out / name)
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-5)


def test_the_record_says_how_many_ranks_and_how_they_talked(seen):
    _, (leader, _) = seen
    record = leader["uneven shards"]["record"]
    assert record["spec"]["ranks"] == record["environment"]["ranks"] == 2
    assert record["environment"]["backend"] == "gloo"
    assert "batch_norm" not in record["environment"]
    synchronised, not_so = leader["synchronised batch norm"], leader["batch norm of each rank"]
    assert synchronised["record"]["environment"]["batch_norm"] == "synchronised"
    assert not_so["record"]["environment"]["batch_norm"] == "of each rank"


def test_batch_norm_of_each_rank_is_another_run_than_of_one_process(seen, tmp_path):
    out, _ = seen
    ganbench.run(RunSpec(**{**SMALL, **DCGAN}), tmp_path)
    differences = (weights(tmp_path) - weights(out / "batch norm of each rank")).abs()
    assert differences.max() > 1e-3


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_the_batch_whole_is_refused_before_anything_is_written(name, seen):
    out, (leader, follower) = seen
    message, _ = REFUSED[name]
    assert message in leader[name]["error"]
    assert leader[name]["type"] in ("IncompatibleParts", "UsageError")
    assert follower[name]["type"] == "LeaderFailed"
    assert not (out / name).exists()


def test_a_finished_run_is_found_by_all_ranks(seen):
    _, (leader, follower) = seen
    assert leader["again"]["record"] == follower["again"]["record"]


def test_a_stop_of_one_rank_stops_all_at_the_same_step(seen):
    """Rank 1 alone gets the signal, in its fourth step."""
    out, (leader, follower) = seen
    record = leader["stopped"]["record"]
    assert record["status"] == "interrupted"
    assert record == follower["stopped"]["record"]
    assert 4 <= record["steps_done"] < 60
    assert list((out / "stopped").glob("checkpoints/*/checkpoint.json"))


def test_a_failure_of_one_rank_is_the_runs_failure_with_its_traceback(seen):
    out, (leader, follower) = seen
    assert leader["broken"]["record"]["status"] == "failed"
    assert leader["broken"]["record"]["error"] == "RankFailed: rank 1: ZeroDivisionError: boom"
    assert follower["broken"]["type"] == "LeaderFailed"
    (told,) = (out / "broken").glob("runs/*/error.txt")
    assert 'raise ZeroDivisionError("boom")' in told.read_text()


def test_only_rank_0_writes_and_one_folder_a_run(seen):
    out, _ = seen
    assert len(list((out / "uneven shards").glob("runs/*"))) == 1
    assert not list(out.glob("*/runs/.*.tmp"))


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_bits_of_one_that_was_not(tmp_path):
    """The same command again: the checkpoint of rank 0 is every rank's."""
    spec = {**SMALL, **LONGER, "rule": "extragradient-past", "opt": "adam"}
    cases = {
        "stopped": {"spec": spec, "trouble": ("stop", 0, 3)},
        "not": {"spec": spec},
    }
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).with_name("ranks.py")
    assert torchrun(script, tmp_path / "cases.json", tmp_path).returncode == 0
    first = json.loads((tmp_path / "seen-0.json").read_text())
    assert first["stopped"]["record"]["status"] == "interrupted"
    assert torchrun(script, tmp_path / "cases.json", tmp_path).returncode == 0
    second = json.loads((tmp_path / "seen-0.json").read_text())
    gone_on, straight = (second[name]["record"] for name in ("stopped", "not"))
    assert gone_on["status"] == straight["status"] == "completed"
    assert gone_on["weights_sha256"] == straight["weights_sha256"]


def test_the_command_line_speaks_with_one_voice(tmp_path):
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    done = torchrun("-m", "ganbench", "run", *flags, "--out", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("completed: 12 steps, 396 real images shown") == 1
    assert done.stderr.count("step 12/12") == 1


@pytest.mark.slow
def test_a_mistake_is_explained_once(tmp_path):
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    wrong = torchrun("-m", "ganbench", "run", *flags, "--loss=nonsatt", "--out", tmp_path / "w")
    assert wrong.returncode == 1  # torchrun's own; ganbench's was 2
    assert wrong.stderr.count("error: no loss 'nonsatt'; did you mean 'nonsat'?") == 1
    assert "exitcode: 2" in wrong.stderr
    assert not (tmp_path / "w").exists()


def test_ranks_that_nobody_started_are_refused(registry):
    with pytest.raises(UsageError, match=r"torchrun --nproc-per-node=4 -m ganbench run"):
        make_plan(RunSpec(ranks=4), registry)


def test_settings_that_came_later_leave_the_hash_as_it_was_while_off(registry, monkeypatch):
    plan = make_plan(RunSpec(device="cpu"), registry)
    assert not {"ranks", "sync_batch_norm"} & plan.identity()["settings"].keys()
    for name, value in (("RANK", 0), ("WORLD_SIZE", 2), ("LOCAL_RANK", 0), ("MASTER_PORT", 1)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    several = make_plan(RunSpec(device="cpu"), registry)
    assert several.identity()["settings"]["ranks"] == 2
    assert several.run_id != plan.run_id


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_end_where_one_does_to_rounding(tmp_path):
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    flags += ["--device=cuda", "--opt=sgd"]
    done = torchrun("-m", "ganbench", "run", *flags, "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    (two,) = ganbench.load_records(tmp_path / "two")
    assert two.environment["backend"] == "nccl"
    ganbench.run(RunSpec(**{**SMALL, "device": "cuda", "opt": "sgd"}), tmp_path / "one")
    torch.testing.assert_close(
        weights(tmp_path / "two"), weights(tmp_path / "one"), rtol=1e-3, atol=1e-5
    )
