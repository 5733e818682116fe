"""Optimizers through the registry: exact first steps, and one contract for all of them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ganbench.builtin import fused_adam
from ganbench.builtin.fused_adam import FusedAdam
from ganbench.checkpoint import flatten, unflatten
from ganbench.errors import UsageError
from ganbench.grammar import parse_component
from ganbench.plan import make_part
from ganbench.registry import default_registry

REFUSED = {"sparseadam"}
NAMES = [name for name in default_registry().names("optimizer") if name not in REFUSED]


def create(text: str, module: nn.Module) -> torch.optim.Optimizer:
    return make_part(default_registry(), "optimizer", parse_component(text)).create(module)


class Number(nn.Module):
    """One parameter, θ = 1."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.ones(1, dtype=torch.float64))


def descend(text: str, gradients: list[float]) -> list[float]:
    """θ after each step on the given gradients."""
    module = Number()
    optimizer = create(text, module)
    visited = []
    for gradient in gradients:
        module.theta.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        optimizer.zero_grad()
        visited.append(module.theta.item())
    return visited


def test_sgd_takes_a_step_of_lr_times_the_gradient():
    assert descend("sgd:lr=0.1", [2.0, -1.0]) == pytest.approx([0.8, 0.9])


def test_sgd_takes_negative_momentum():
    # v₁ = 2, v₂ = −½·2 + 3 = 2: θ = 1 − 0.2 − 0.2.
    assert descend("sgd:lr=0.1,momentum=-0.5", [2.0, 3.0]) == pytest.approx([0.8, 0.6])


def test_adam_s_first_step_is_lr_whatever_the_gradient_and_its_defaults_are_dcgan_s():
    assert descend("adam", [1e-3]) == pytest.approx([1 - 2e-4], abs=1e-8)
    group = create("adam", Number()).param_groups[0]
    assert (group["lr"], group["betas"]) == (2e-4, (0.5, 0.999))


def test_omd_takes_twice_the_gradient_and_gives_the_last_one_back():
    # θ₁ = 1 − 2·0.1·1, θ₂ = θ₁ − 0.2·3 + 0.1·1, θ₃ = θ₂ − 0.2·0 + 0.1·3.
    assert descend("omd:lr=0.1", [1.0, 3.0, 0.0]) == pytest.approx([0.8, 0.3, 0.6])


def test_optimistic_adam_is_algorithm_one_of_daskalakis():
    lr, b1, b2, eps = 0.1, 0.5, 0.9, 1e-8
    gradients = [1.0, -2.0, 0.5, 4.0]
    theta, m, v, last, expected = 1.0, 0.0, 0.0, 0.0, []
    for t, g in enumerate(gradients, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        ratio = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        theta, last = theta - 2 * lr * ratio + lr * last, ratio
        expected.append(theta)
    visited = descend(f"optimistic-adam:lr={lr},betas=[{b1},{b2}]", gradients)
    assert visited == pytest.approx(expected, rel=1e-9)


def test_optimistic_around_sgd_is_omd():
    gradients = [1.0, -0.3, 2.0]
    around = descend('optimistic:base="sgd:lr=0.1"', gradients)
    assert around == pytest.approx(descend("omd:lr=0.1", gradients))


def test_lookahead_goes_back_half_way_every_k_steps():
    # sgd 0.1 on gradient 1: 0.9, 0.8 -> slow = 1 + ½(0.8 − 1) = 0.9; then 0.8, 0.7 -> 0.8.
    visited = descend('lookahead:base="sgd:lr=0.1",k=2,alpha=0.5', [1.0] * 4)
    assert visited == pytest.approx([0.9, 0.9, 0.8, 0.8])


def test_muon_takes_the_matrices_and_adamw_the_rest():
    net = nn.Sequential(nn.Linear(3, 4), nn.Conv2d(1, 1, 2))
    optimizer = create("muon", net)
    shapes = [[p.ndim for p in group["params"]] for group in optimizer.param_groups]
    assert shapes == [[2], [1, 4, 1]]


def test_sparseadam_is_refused_with_its_reason():
    with pytest.raises(UsageError, match="sparse gradients only"):
        create("sparseadam", Number())


def test_every_optimizer_class_of_torch_has_a_name(registry):
    classes = {
        name.lower()
        for name in vars(torch.optim)
        if isinstance(getattr(torch.optim, name), type)
        and issubclass(getattr(torch.optim, name), torch.optim.Optimizer)
        and name != "Optimizer"
    }
    assert classes <= set(registry.names("optimizer"))


def test_torch_s_own_options_are_taken_by_name_and_others_refused():
    group = create("rmsprop:lr=1e-3,alpha=0.5", Number()).param_groups[0]
    assert (group["lr"], group["alpha"]) == (1e-3, 0.5)
    with pytest.raises(UsageError, match="no option 'alfa'; did you mean 'alpha'"):
        create("rmsprop:alfa=0.5", Number())
    with pytest.raises(UsageError, match="option 'lr' is 'fast'"):
        create("adamax:lr=fast", Number())


def steps(optimizer: torch.optim.Optimizer, module: nn.Module, inputs: torch.Tensor) -> None:
    for x in inputs:
        loss = module(x).square().mean()
        loss.backward()
        value = loss.detach()
        if type(optimizer).__name__ == "LBFGS":
            optimizer.step(lambda value=value: value)
        else:
            optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_goes_on_from_a_checkpoint_with_the_same_bits(name):
    torch.manual_seed(0)
    inputs = torch.randn(6, 8, 3)
    start = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).state_dict()

    def fresh() -> tuple[nn.Module, torch.optim.Optimizer]:
        module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        module.load_state_dict(start)
        return module, create(name, module)

    whole, optimizer = fresh()
    steps(optimizer, whole, inputs)
    assert not torch.equal(whole[0].weight, start["0.weight"])
    assert all(p.isfinite().all() for p in whole.parameters())

    first, optimizer = fresh()
    steps(optimizer, first, inputs[:3])
    tensors: dict[str, torch.Tensor] = {}
    skeleton = flatten(optimizer.state_dict(), tensors)
    second, resumed = fresh()
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(unflatten(skeleton, tensors))
    steps(resumed, second, inputs[3:])
    for p, q in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)


# --- adam's step beside torch's -----------------------------------------------------------------


def _moved(
    optimizer_class: type[torch.optim.Optimizer],
    options: dict,
    *,
    without_gradient: int = -1,
    scaled: bool = False,
    restored_at: int = -1,
    closure: bool = False,
    channels_last: bool = False,
) -> tuple[dict, list[int]]:
    """Five steps on gradients of their own making: the state at the end, and the hooks' counts."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(5, 4, 3), nn.Linear(4, 3))
    if channels_last:
        module = module.to(memory_format=torch.channels_last)
    optimizer = optimizer_class(module.parameters(), **options)
    calls = [0, 0, 0]  # the hooks before and after a step, and the closure

    def count(at: int) -> None:
        calls[at] += 1

    optimizer.register_step_pre_hook(lambda *_: count(0))
    optimizer.register_step_post_hook(lambda *_: count(1))
    for step in range(5):
        for i, parameter in enumerate(module.parameters()):
            missing = step == without_gradient and i == 1
            parameter.grad = None if missing else torch.randn_like(parameter)
        if scaled:
            optimizer.grad_scale = torch.tensor(8.0)
            optimizer.found_inf = torch.tensor(float(step == 3))
        optimizer.step(*([lambda: count(2)] if closure else []))
        if step == restored_at:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    state = {"parameters": list(module.parameters()), **optimizer.state_dict()}
    return state, calls


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({}, {}),
        ({"amsgrad": True, "weight_decay": 0.1}, {}),
        ({"maximize": True, "eps": 1e-4}, {}),
        ({"decoupled_weight_decay": True, "weight_decay": 0.1}, {}),
        ({}, {"without_gradient": 0}),
        ({}, {"without_gradient": 3}),
        ({}, {"scaled": True}),
        ({}, {"restored_at": 1}),
        ({}, {"closure": True}),
        ({"fused": False}, {}),
        ({}, {"channels_last": True}),
        ({"amsgrad": True}, {"channels_last": True}),
    ],
)
def test_adam_s_short_step_is_torch_s_bit_for_bit_with_its_hooks(options, how):
    options = {"lr": 0.01, "betas": (0.5, 0.9), "fused": True, **options}
    theirs, their_calls = _moved(torch.optim.Adam, options, **how)
    ours, our_calls = _moved(FusedAdam, options, **how)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert our_calls == their_calls == [5, 5, 5 if how.get("closure") else 0]


def test_adam_copies_nothing_that_lies_in_another_order_than_its_indices():
    weight = nn.Parameter(torch.ones(4, 3, 2, 2).contiguous(memory_format=torch.channels_last))
    stacked = nn.Parameter(torch.ones(2, 5, 3).mT.contiguous().mT)

    optimizer = create("adam", nn.ParameterList([weight, stacked]))
    copies = []
    for _ in range(2):
        weight.grad, stacked.grad = torch.ones_like(weight), torch.ones_like(stacked)
        with torch.profiler.profile() as watched:
            optimizer.step()
        copies.append(sum(e.count for e in watched.key_averages() if e.key == "aten::clone"))
    of_torch, ours = copies
    assert of_torch > 0
    assert ours == 0


@pytest.mark.parametrize(("capturable", "of_torch"), [(False, 1), (True, 3)])
def test_adam_takes_the_short_way_from_its_second_step_on(monkeypatch, capturable, of_torch):
    """Not in a step that a CUDA graph records, which torch looks at first."""
    steps_of_torch = []
    whole = fused_adam._torchs_step()
    monkeypatch.setattr(
        fused_adam, "_torchs_step", lambda: lambda *given: steps_of_torch.append(whole(*given))
    )
    module = nn.Linear(2, 1)
    optimizer = create("adam", module)
    for group in optimizer.param_groups:
        group["capturable"] = capturable
    for _ in range(3):
        for parameter in module.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert len(steps_of_torch) == of_torch


def test_adam_s_groups_keep_their_own_rates():
    moved = []
    for kind in (torch.optim.Adam, FusedAdam):
        a, b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
        optimizer = kind([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.01}], fused=True)
        for b_has_one in (False, True, True):
            a.grad, b.grad = torch.ones(3), torch.ones(2) if b_has_one else None
            optimizer.step()
        moved.append([*a.tolist(), *b.tolist()])
    assert moved[0] == moved[1]
