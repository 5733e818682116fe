"""Mistakes of a user: one message with the value, what is allowed and the nearest match; exit
code 2; nothing written; no traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ganbench.builtin import datasets

QUICK = ["--steps", "2", "--batch-size", "8", "--n-samples", "16", "--threads", "1"]


def assert_refused(cli, out: Path, args: list[object], *messages: str) -> None:
    answer = cli("run", *QUICK, "--device", "cpu", "--out", out, *args)
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    for message in messages:
        assert message in answer.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "messages"),
    [
        (["--loss", "nonsatt"], ["no loss 'nonsatt'", "did you mean 'nonsat'"]),
        (["--opt", "adan"], ["no optimizer 'adan'", "did you mean 'adam'"]),
        (["--generator", "mpl"], ["no generator 'mpl'", "did you mean 'mlp'"]),
        (["--discriminator", "dcgam"], ["no discriminator 'dcgam'", "did you mean 'dcgan'"]),
        (["--rule", "alternate"], ["no rule 'alternate'", "did you mean 'alternating'"]),
        (["--data", "mnist-fashion"], ["no data 'mnist-fashion'", "Known: "]),
        (["--metrics", "fid,kit"], ["no metric 'kit'", "did you mean 'kid'"]),
        (["--extractor", "inception"], ["no extractor 'inception'", "inception-v3-compat"]),
        (["--schedule", "cosin"], ["no schedule 'cosin'", "did you mean 'cosine'"]),
        (["--tracker", "nothing"], ["no tracker 'nothing'"]),
        (["--opt", "adam:lrr=1"], ["no option 'lrr'", "did you mean 'lr'", "lr=0.0002"]),
        (["--opt", "adam:lr=fast"], ["option 'lr' is 'fast'", "wants float"]),
        (["--opt", "adam:lr=-1"], ["option 'lr' is -1", "greater than 0"]),
        (["--loss", "nonsat+l1:weight=x"], ["'weight' is 'x'", "wants float"]),
        (["--loss", "nonsat+"], ["is not a component"]),
        (["--opt", "adam:"], ["ends in a colon"]),
        (["--loss", "nonsat+nonsat"], ["names 'nonsat' twice"]),
        (["--steps", "0"], ["steps is 0", "greater than or equal to 1"]),
        (["--steps", "-5"], ["steps is -5"]),
        (["--steps", "many"], ["steps is 'many'", "whole number"]),
        (["--steps", "1.5"], ["steps is 1.5", "whole number"]),
        (["--batch-size", "0"], ["batch_size is 0", "from 1 up, or full"]),
        (["--batch-size", "-8"], ["batch_size is -8", "from 1 up, or full"]),
        (["--batch-size", "half"], ["batch_size is 'half'", "from 1 up, or full"]),
        (["--batch-size", "10001"], ["10001", "10000"]),
        (["--micro-batch-size", "0"], ["micro_batch_size is 0"]),
        (["--n-dis", "0"], ["n_dis is 0"]),
        (["--z-dim", "0"], ["z_dim is 0", "greater than or equal to 1"]),
        (["--seed", "-1"], ["seed is -1"]),
        (["--n-samples", "0"], ["n_samples is 0"]),
        (["--threads", "0"], ["threads is 0"]),
        (["--checkpoint-every", "-1"], ["checkpoint_every is -1"]),
        (["--ema-halflife-kimg", "x"], ["ema_halflife_kimg is 'x'", "number"]),
        (["--precision", "fp8"], ["precision is 'fp8'", "'bf16'"]),
        (["--device", "tpu"], ["device is 'tpu'", "auto, cpu, cuda, cuda:N or mps"]),
        (["--set", "los=nonsat"], ["no setting 'los'", "did you mean 'loss'"]),
        (["--set", "steps"], ["is not key=value"]),
        (["--config", "articel"], ["no preset 'articel'", "did you mean 'article'"]),
        (["--config", "absent.toml"], ["absent.toml", "No such file"]),
        (["--data-root", "/no/such/folder", "--data", "fashion-mnist"], ["/no/such/folder"]),
        (["--extractor-weights", "/no/weights"], ["/no/weights", "not a file"]),
        (["--opt", "gd", "--batch-size", "8"], ["needs batch_size=full"]),
        (["--generator", "dirac"], ["dirac"]),
        (["--precision", "tf32"], ["tf32", "needs cuda"]),
        (["--metrics", "mode-coverage"], ["mode-coverage", "ring8"]),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_written(ganbench_cli, tmp_path, args, messages):
    assert_refused(ganbench_cli, tmp_path / "out", args, *messages)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_where_there_is_none_is_told_what_there_is(ganbench_cli, tmp_path):
    assert_refused(
        ganbench_cli, tmp_path / "out", ["--device", "cuda"], "no cuda device", "it has: cpu"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = = 3", "is not TOML"),
        ("stps = 3", "did you mean 'steps'"),
        ("[adam]\nlr = 1", "no setting 'adam'"),
    ],
)
def test_a_wrong_config_file_is_refused_by_name(ganbench_cli, tmp_path, text, message):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    assert_refused(ganbench_cli, tmp_path / "out", ["--config", file], "mine.toml", message)


def test_weights_of_another_shape_are_refused(ganbench_cli, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file({"weight": torch.zeros(3)}, file)
    assert_refused(
        ganbench_cli, tmp_path / "out", ["--extractor-weights", file], "weights.safetensors"
    )


def test_weights_that_are_no_weights_are_refused(ganbench_cli, tmp_path):
    file = tmp_path / "weights.safetensors"
    file.write_text("not weights")
    assert_refused(
        ganbench_cli, tmp_path / "out", ["--extractor-weights", file], "weights.safetensors"
    )


def test_a_download_that_cannot_be_reached_names_other_ways(ganbench_cli, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_DEBIAN_FOLDER", tmp_path / "none")
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "root").mkdir()
    assert_refused(
        ganbench_cli,
        tmp_path / "out",
        ["--data", "fashion-mnist", "--data-root", tmp_path / "root"],
        "can't be downloaded",
        "--data-root",
        "fashion-mnist-10k",
    )


def test_a_results_folder_that_is_a_file_is_refused(ganbench_cli, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    answer = ganbench_cli("run", *QUICK, "--out", file)
    assert (answer.code, answer.out) == (2, "")
    assert f"out is '{file}'" in answer.err
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_a_results_folder_without_permission_is_refused(ganbench_cli, tmp_path):
    tmp_path.chmod(0o500)
    assert_refused(ganbench_cli, tmp_path / "out", [], "nothing can be written")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder nobody can write to")
def test_a_results_folder_where_nothing_can_be_made_is_refused(ganbench_cli):
    answer = ganbench_cli("run", *QUICK, "--out", "/proc/self/results")
    assert (answer.code, answer.out) == (2, "")
    assert "nothing can be written" in answer.err


@pytest.mark.parametrize(
    ("args", "message"),
    [(["run", "--opts", "adam"], "--opt"), (["runn"], "run"), (["table", "a", "b"], "b")],
)
def test_a_misspelt_flag_or_command_is_told_the_nearest(ganbench_cli, args, message):
    answer = ganbench_cli(*args)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_the_tables_of_a_folder_without_runs_are_refused(ganbench_cli, tmp_path):
    answer = ganbench_cli("table", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert f"no runs in '{tmp_path}'" in answer.err
    assert list(tmp_path.iterdir()) == []
