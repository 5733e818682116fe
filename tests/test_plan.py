"""Specs and plans: what a run is, what identifies it, and what is refused before it starts."""

from __future__ import annotations

import json

import pytest

from ganbench import RunSpec
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.plan import make_plan


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0, but must be greater than or equal to 1"),
        ({"steps": -5}, "steps is -5"),
        ({"steps": 1.5}, "steps is 1.5, but must be a whole number"),
        ({"batch_size": 0}, "batch_size is 0, but must be a whole number from 1 up, or full"),
        ({"batch_size": "all"}, "batch_size is 'all'"),
        ({"z_dim": 0}, "z_dim is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"device": "gpu"}, "device is 'gpu', but must be auto, cpu, cuda, cuda:N or mps"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"stepps": 5}, "no setting 'stepps'; did you mean 'steps'?"),
        ({"loss": "non sat"}, "is not a component"),
    ],
)
def test_a_bad_setting_is_named_with_what_is_allowed(settings, message):
    with pytest.raises(UsageError, match=None) as caught:
        RunSpec(**settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "nonsatt"}, "no loss 'nonsatt'; did you mean 'nonsat'?"),
        ({"opt": "addam"}, "no optimizer 'addam'; did you mean 'adam'?"),
        ({"loss": "nonsat+nonsat"}, "names 'nonsat' twice"),
        ({"loss": "adam"}, "('adam' is an optimizer.)"),
        ({"generator": "mlp:width=3"}, "generator 'mlp' has no option 'width'"),
        ({"opt": "adam:lr=fast"}, "option 'lr' is 'fast'"),
        ({"opt": "adam:lr=-1"}, "option 'lr' is -1"),
        ({"rule": "alternating:n_dis=2", "n_dis": 3}, "n_dis is 3, but rule"),
        ({"rule": "simultaneous", "n_dis": 3}, "has no n_dis"),
        ({"opt": "gd", "batch_size": 64}, "needs batch_size=full"),
        ({"extractor_weights": "/nowhere.pt"}, "which is not a file"),
    ],
)
def test_a_part_that_is_unknown_or_does_not_fit_is_refused(registry, settings, message):
    with pytest.raises(UsageError) as caught:
        make_plan(RunSpec(**settings), registry)
    assert message in str(caught.value)


def identity(registry, **settings) -> str:
    return make_plan(RunSpec(**settings), registry).spec_sha256


@pytest.mark.parametrize(
    "same",
    [
        {"opt": "adam:lr=2e-4"},
        {"opt": "adam:lr=0.0002,betas=[0.5,0.999]"},
        {"rule": "alternating:n_dis=1"},
        {"n_dis": 1},
        {"checkpoint_every": 7},
        {"metrics": ["fid", "kid", "precision-recall"]},
        {"device": "cpu"},
        {"share_latents": False, "joint_batch": False, "channels_last": False, "compile": False},
        {"onednn": False},
    ],
)
def test_spelling_a_default_out_does_not_change_the_run(registry, same):
    assert identity(registry, **same) == identity(registry)


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"opt_d": "adam:lr=1e-4"},
        {"n_dis": 2},
        {"steps": 7},
        {"batch_size": 64},
        {"metrics": "fid"},
        {"n_samples": 100},
        {"eval_every": 100},
        {"threads": 1},
        {"schedule": "linear"},
        {"data": "ring8"},
        {"loss": "nonsat+l1"},
        {"share_latents": True},
        {"joint_batch": True},
        {"channels_last": True},
        {"onednn": True},
        {"compile": True},
    ],
)
def test_whatever_can_change_the_result_changes_the_run(registry, other):
    assert identity(registry, **other) != identity(registry)


def test_a_setting_that_is_off_leaves_the_identity_as_it_was_before_it_came(registry):
    settings = make_plan(RunSpec(), registry).identity()["settings"]
    assert settings.keys().isdisjoint({"eval_every", "share_latents", "onednn"})
    on = make_plan(RunSpec(eval_every=5), registry).identity()["settings"]
    assert on == {**settings, "eval_every": 5}


def test_a_run_id_is_readable_and_safe_as_a_folder_name(registry):
    plan = make_plan(RunSpec(loss="nonsat+l1:weight=10", opt='lookahead:base="sgd:lr=1"'), registry)
    assert plan.run_id.startswith("mlp-nonsat+l1_weight=10.0-lookahead")
    assert plan.run_id.endswith("-s0-" + plan.spec_sha256[:10])
    assert not set(plan.run_id) & set('/\\:*?"<>| ')


def test_a_data_set_suggests_what_the_user_left_open_and_no_more(registry):
    plan = make_plan(RunSpec(data="ring8", z_dim=3), registry)
    assert plan.spec.generator == "mlp:hidden=[128,128]"
    assert plan.spec.z_dim == 3
    assert plan.spec.metrics == ("mode-coverage", "wasserstein", "mmd")


def test_gd_sets_the_full_batch(registry):
    assert make_plan(RunSpec(opt="gd"), registry).spec.batch_size == "full"


def test_opt_sets_both_and_the_one_beside_it_wins():
    spec = RunSpec(opt="sgd", opt_d="adam")
    assert (spec.opt_g, spec.opt_d) == ("sgd", "adam")


def test_a_spec_survives_json():
    spec = RunSpec(loss="nonsat+l1", ema_halflife_kimg=float("inf"), data_root="/data")
    assert RunSpec(**json.loads(spec.model_dump_json())) == spec


def test_a_device_that_is_not_here_is_refused(registry):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(UsageError, match="this machine has no cuda device"):
        make_plan(RunSpec(device="cuda"), registry)


def test_low_precision_that_the_device_lacks_is_refused(play):
    import torch

    from ganbench.devices import set_up

    with pytest.raises(IncompatibleParts, match="tf32"):
        set_up(torch.device("cpu"), 1, "tf32")
