"""Every optimizer of pytorch-optimizer trains and goes on from a checkpoint, or says why not."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import pytorch_optimizer
import torch
from ganbench_pytorch_optimizer import class_names, name_of
from ganbench_pytorch_optimizer.refused import REASONS
from torch import nn
from torch.nn.functional import softplus

from ganbench.checkpoint import flatten, unflatten
from ganbench.errors import UsageError
from ganbench.grammar import parse_component
from ganbench.plan import make_part, make_plan
from ganbench.player import Player
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store

DIST = "ganbench-pytorch-optimizer"
NEEDED = {"ranger21": "num_iterations=10"}
# SaRA moves weights under 2e-3 only, and TRAC begins with a scale of 1e-8.
STANDS_STILL = {"sara", "trac"}
NAMES = [name_of(cls) for cls in class_names()]
REFUSED = [name_of(cls) for cls in REASONS]
PLAYED = [name for name in NAMES if name not in REFUSED]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


def create(text: str, module: nn.Module) -> torch.optim.Optimizer:
    name, _, options = text.partition(":")
    options = options or NEEDED.get(name, "")
    component = parse_component(f"{name}:{options}" if options else name)
    return make_part(default_registry(), "optimizer", component).create(module)


def network(kind: str) -> nn.Module:
    if kind == "mlp":
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 1)
    )


def batches(kind: str) -> torch.Tensor:
    shape = (3,) if kind == "mlp" else (1, 6, 6)
    return torch.randn(6, 8, *shape, generator=torch.Generator().manual_seed(1))


def descend(player: Player, inputs: torch.Tensor) -> None:
    for x in inputs:
        player.backward(softplus(player.module(x)).mean())
        player.update()


def player_of(name: str, kind: str) -> Player:
    torch.manual_seed(0)
    module = network(kind)
    return Player(module, create(name, module))


def test_all_optimizer_classes_of_the_package_have_a_name():
    registered = {c.name for c in default_registry().components("optimizer")}
    supported = set(pytorch_optimizer.get_supported_optimizers())
    torch_s_own = {name for name in supported if name_of(name) in dir(torch.optim)}
    assert {name_of(name) for name in supported - torch_s_own} <= registered
    assert len(PLAYED) > 100


def test_no_name_is_ganbench_s_own():
    ours = {c.name for c in default_registry().components("optimizer") if c.plugin.dist == DIST}
    theirs = {c.name for c in default_registry().components("optimizer") if c.plugin.dist != DIST}
    assert ours
    assert not ours & theirs


def test_listing_the_names_imports_neither_torch_nor_pytorch_optimizer():
    code = (
        "import sys\n"
        "from ganbench.registry import default_registry\n"
        "found = [c.summary for c in default_registry().components('optimizer')]\n"
        "assert any('AdaBelief' in summary for summary in found)\n"
        "print({'torch', 'pytorch_optimizer'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("name", PLAYED)
def test_it_trains_and_goes_on_from_a_checkpoint_with_the_same_bits(name, kind):
    inputs = batches(kind)
    whole = player_of(name, kind)
    start = [p.detach().clone() for p in whole.parameters]
    descend(whole, inputs[:3])
    tensors: dict[str, torch.Tensor] = {}
    skeleton = flatten(whole.state(), tensors)
    random_state = torch.get_rng_state()
    descend(whole, inputs[3:])
    assert all(p.isfinite().all() for p in whole.parameters)
    moved = any(not torch.equal(p, q) for p, q in zip(whole.parameters, start, strict=True))
    assert moved or name in STANDS_STILL

    resumed = player_of(name, kind)
    resumed.load_state(unflatten(skeleton, tensors))
    torch.set_rng_state(random_state)
    descend(resumed, inputs[3:])
    for p, q in zip(whole.parameters, resumed.parameters, strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("name", PLAYED)
def test_it_depends_on_no_random_state_but_torch_s(name):
    ends = []
    for seed in (0, 1):
        random.seed(seed)
        np.random.seed(seed)
        player = player_of(name, "mlp")
        descend(player, batches("mlp"))
        ends.append([p.detach().clone() for p in player.parameters])
    assert all(torch.equal(p, q) for p, q in zip(*ends, strict=True))


@pytest.mark.parametrize("name", REFUSED)
def test_one_that_can_t_play_is_refused_with_its_reason(name):
    with pytest.raises(UsageError, match=f"optimizer '{name}': it"):
        create(name, network("mlp"))


def test_every_refused_name_exists():
    assert set(REASONS) <= set(class_names())


def test_options_are_those_of_the_class():
    group = create("lion:lr=1e-3,betas=[0.5,0.9]", network("mlp")).param_groups[0]
    assert (group["lr"], group["betas"]) == (1e-3, (0.5, 0.9))
    with pytest.raises(UsageError, match="no option 'beta'; did you mean 'betas'"):
        create("lion:beta=0.5", network("mlp"))
    with pytest.raises(UsageError, match=r"optimizer 'lion:lr=-1\.0': learning rate"):
        create("lion:lr=-1", network("mlp"))


def test_one_that_needs_the_number_of_steps_asks_for_it():
    with pytest.raises(UsageError, match="optimizer 'ranger21' needs the option 'num_iterations'"):
        make_part(default_registry(), "optimizer", parse_component("ranger21"))


def test_one_without_a_rate_is_refused_with_a_schedule():
    with pytest.raises(UsageError, match="optimizer 'a2grad' needs schedule=constant"):
        make_plan(RunSpec(opt="a2grad", schedule="cosine"), default_registry())
    assert make_plan(RunSpec(opt="a2grad"), default_registry()).spec.opt_g == "a2grad"


def test_muon_orthogonalises_weights_and_leaves_the_rest_to_adamw():
    module = network("conv")
    groups = create("po-muon:lr=0.1,adamw_lr=1e-4", module).param_groups
    assert [(g["use_muon"], g["lr"], [p.ndim for p in g["params"]]) for g in groups] == [
        (True, 0.1, [4, 2]),
        (False, 1e-4, [1, 1, 1]),
    ]


def test_a_wrapper_takes_its_base_as_on_the_command_line():
    optimizer = create('orthograd:base="sgd:lr=0.5"', network("mlp"))
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_alig_s_rate_is_the_loss_over_the_squared_gradient():
    # L = ½θ² at θ = 1: the loss is ½, ‖∇L‖² = 1, and so the rate ½ (max_lr is 1).
    module = nn.Linear(1, 1, bias=False)
    nn.init.ones_(module.weight)
    player = Player(module, create("alig:max_lr=1", module))
    player.backward(module(torch.ones(1)).square().sum() / 2)
    player.update()
    assert module.weight.item() == pytest.approx(0.5, abs=1e-4)


def test_schedule_free_trains_at_one_point_and_is_evaluated_at_its_average():
    # A gradient of 1 and lr 0.1 from θ = 1: z is 0.9, 0.8, 0.7, whose mean x is 0.8; training is
    # at y = (1 − momentum) z + momentum x = 0.1·0.7 + 0.9·0.8.
    module = nn.Linear(1, 1, bias=False)
    nn.init.ones_(module.weight)
    player = Player(module, create("schedulefreesgd:lr=0.1,momentum=0.9", module))
    for _ in range(3):
        player.backward(module(torch.ones(1)).sum())
        player.update()
    assert module.weight.item() == pytest.approx(0.79)
    assert player.averaged().weight.item() == pytest.approx(0.8)
    assert module.weight.item() == pytest.approx(0.79)


def rates(text: str, steps: int) -> list[float]:
    """The rate of each step, and after the last, with a base rate of 1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    part = make_part(default_registry(), "schedule", parse_component(text))
    schedule, seen = part.create(optimizer, steps), []
    for _ in range(steps + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_rex_decays_as_its_formula():
    # (1 − p)/(1 − p/2) at p = 0, ¼, ½, ¾, 1.
    assert rates("rex", 4) == pytest.approx([1, 6 / 7, 2 / 3, 2 / 5, 0])


def test_warmup_stable_decay_rises_stays_and_falls():
    # Of 10 steps 2 rise from 0, 4 stay, 4 fall by 1 − k/4.
    found = rates("warmup-stable-decay:warmup=0.2,decay=0.4,cooldown=linear", 10)
    assert found == pytest.approx([0, 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])


def test_more_than_the_whole_run_is_refused():
    with pytest.raises(UsageError, match=r"warmup \+ decay is 1\.5"):
        rates("warmup-stable-decay:warmup=0.5,decay=1", 10)


def test_a_run_with_two_of_them_and_a_schedule_ends_well(tmp_path):
    spec = RunSpec(
        opt_g="schedulefreeadamw:lr=1e-3",
        opt_d="soap",
        schedule="warmup-stable-decay",
        steps=3,
        batch_size=8,
        metrics="none",
        threads=1,
        device="cpu",
    )
    record = run_in_store(make_plan(spec, default_registry()), tmp_path).record
    assert (record.status, record.steps_done) == ("completed", 3)
