"""The conformance kit passes on everything of ganbench's, and fails on each fault planted here."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from ganbench import testing
from ganbench.errors import UsageError
from ganbench.protocols import Data
from ganbench.testing import conformance_tests, faults

STORED = Path(__file__).parent / "stored"

test_every_component_of_ganbench_conforms = conformance_tests(
    "ganbench",
    examples={
        "data": [
            f'folder:path="{STORED / "pictures"}",size=8',
            f'npy:file="{STORED / "points.npy"}"',
        ],
        "generator": [f"{name}:width=8" for name in ("sngan-resnet", "resnet", "autoencoder")],
        "discriminator": [f"{name}:width=8" for name in ("sngan-resnet", "resnet", "autoencoder")],
    },
    leave_out=["inception-v3-compat"],  # it would download its weights
)


def fails(kind: str, component: Any, fault: type[faults.ConformanceFailure]) -> str:
    """The kit's message on a component with that fault."""
    check = getattr(testing, f"check_{'dataset' if kind == 'data' else kind}")
    with pytest.raises(faults.ConformanceFailure) as caught:
        check(component)
    assert type(caught.value) is fault, str(caught.value)
    return str(caught.value)


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    own_torch.manual_seed(0)  # whatever tests came before: some faults flip coins
    own_numpy.bit_generator.state = np.random.default_rng(0).bit_generator.state
    yield
    torch.set_anomaly_enabled(False)
    torch.set_default_dtype(torch.float32)


def test_a_failure_names_the_component_what_was_found_the_rule_and_why():
    told = fails("loss", Unreduced, faults.WrongShape)
    first, rule, why = told.splitlines()
    assert first == (
        "loss 'Unreduced': d_loss's term 'it' has shape (8,), not (): take the mean over the batch"
    )
    assert rule.startswith("  Rule: results have the documented shapes")
    assert why.startswith("  Why:  a shape that merely broadcasts")


# --- losses -------------------------------------------------------------------------------------


class Good:
    """softplus(−a) + softplus(b) and softplus(−b): what the faulty losses vary."""

    def real(self, logits):
        return F.softplus(-logits).mean()

    def fake(self, logits):
        return F.softplus(logits).mean()

    def d_loss(self, discriminator, x_real, x_fake):
        return {"it": self.real(discriminator(x_real)) + self.fake(discriminator(x_fake))}

    def g_loss(self, discriminator, x_real, x_fake):
        return {"it": self.real(discriminator(x_fake))}


class Unreduced(Good):
    def real(self, logits):
        return F.softplus(-logits)


class BareTensor(Good):
    def d_loss(self, discriminator, x_real, x_fake):
        return super().d_loss(discriminator, x_real, x_fake)["it"]


class PythonNumber(Good):
    def real(self, logits):
        return F.softplus(-logits).mean().item()


class OnePlayer:
    d_loss = Good.d_loss
    real, fake = Good.real, Good.fake


class Nothing:
    def d_loss(self, discriminator, x_real, x_fake):
        return {}

    g_loss = d_loss


class NumpyNoise(Good):
    def real(self, logits):
        return F.softplus(-logits).mean() * (1 + 0.1 * np.random.rand())


class PythonNoise(Good):
    def real(self, logits):
        return F.softplus(-logits).mean() * (1 + 0.1 * random.random())


own_numpy = np.random.default_rng(0)
own_torch = torch.Generator().manual_seed(0)


class OwnNumpyGenerator(Good):
    def real(self, logits):
        return F.softplus(-logits).mean() * (1 + 0.1 * own_numpy.random())


class OwnTorchGenerator(Good):
    def real(self, logits):
        return F.softplus(-logits).mean() * (1 + 0.1 * torch.rand((), generator=own_torch))


class Clock(Good):
    def real(self, logits):
        return F.softplus(-logits).mean() * (1 + time.perf_counter_ns() % 999_983 / 1e6)


class Reseeds(Good):
    def real(self, logits):
        torch.manual_seed(0)
        return F.softplus(-logits - 0.1 * torch.randn_like(logits)).mean()


class SumOverBatch(Good):
    def real(self, logits):
        return F.softplus(-logits).sum()


class OneNormForAll(Good):
    """A gradient penalty with the norm of the whole batch, at random points."""

    def d_loss(self, discriminator, x_real, x_fake):
        share = torch.rand(len(x_real), *[1] * (x_real.ndim - 1), dtype=x_real.dtype)
        x = (share.to(x_real) * x_real + (1 - share.to(x_real)) * x_fake).detach()
        x.requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        return {"it": (slope.norm() - 1).square()}


class LogOfSigmoid(Good):
    def real(self, logits):
        return -logits.sigmoid().log().mean()


class FiniteValueInfiniteGradient(Good):
    def real(self, logits):
        unsafe = (1 + (-logits).exp()).log()
        return torch.where(logits < -50, -logits, unsafe).mean()


class Backward(Good):
    def d_loss(self, discriminator, x_real, x_fake):
        terms = super().d_loss(discriminator, x_real, x_fake)
        terms["it"].backward(retain_graph=True)
        return terms


class KeepsGraph(Good):
    last = None

    def g_loss(self, discriminator, x_real, x_fake):
        self.last = x_fake
        return super().g_loss(discriminator, x_real, x_fake)

    def d_loss(self, discriminator, x_real, x_fake):
        more = 0 if self.last is None else self.fake(discriminator(self.last))
        return {"it": super().d_loss(discriminator, x_real, x_fake)["it"] + more}


class Thaws(Good):
    def g_loss(self, discriminator, x_real, x_fake):
        discriminator.module.requires_grad_(True)
        return super().g_loss(discriminator, x_real, x_fake)


class Freezes(Good):
    def d_loss(self, discriminator, x_real, x_fake):
        terms = super().d_loss(discriminator, x_real, x_fake)
        discriminator.module.requires_grad_(False)
        return terms


class Detached(Good):
    def g_loss(self, discriminator, x_real, x_fake):
        return {"it": self.real(discriminator(x_fake.detach()))}


class ForgetsItsCount(Good):
    def __init__(self):
        self.count = 0

    def after_d_update(self, module):
        self.count += 1

    def real(self, logits):
        return F.softplus(-logits).mean() * (1 + 1 / (1 + self.count))


class SavesASet(ForgetsItsCount):
    def state_dict(self):
        return {"counts": {self.count}}

    def load_state_dict(self, state):
        (self.count,) = state["counts"]


class NeverLoads(ForgetsItsCount):
    def state_dict(self):
        return {"count": self.count}


class FunctionOption(Good):
    def __init__(self, link: Any = F.softplus):
        self.link = link


class WrongDefault(Good):
    def __init__(self, power: int = 0.5):
        self.power = power


@dataclasses.dataclass
class NeedsOption(Good):
    weight: float


class Halves(Good):
    def real(self, logits):
        return F.softplus(-logits.float()).mean()


class DefaultTypeTarget(Good):
    def real(self, logits):
        return (logits - torch.ones(len(logits), device=logits.device)).square().mean()


class HostTarget(Good):
    def real(self, logits):
        return (logits - torch.ones(len(logits), dtype=logits.dtype)).square().mean()


class WritesIntoReal(Good):
    def d_loss(self, discriminator, x_real, x_fake):
        x_real.add_(0.1)
        return super().d_loss(discriminator, x_real, x_fake)


class AnomalyMode(Good):
    def real(self, logits):
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        return F.softplus(-logits).mean()


class Typo(Good):
    def real(self, logits):
        return F.softplus(-logits).mean() * self.wieght


class RefusesAll(Good):
    def real(self, logits):
        from ganbench.errors import IncompatibleParts

        raise IncompatibleParts("needs labels")


LOSS_FAULTS = {
    Unreduced: faults.WrongShape,
    BareTensor: faults.WrongInterface,
    PythonNumber: faults.WrongInterface,
    OnePlayer: faults.WrongInterface,
    Nothing: faults.WrongInterface,
    NumpyNoise: faults.HiddenRandomness,
    PythonNoise: faults.HiddenRandomness,
    Reseeds: faults.HiddenRandomness,
    OwnNumpyGenerator: faults.NotDeterministic,
    OwnTorchGenerator: faults.NotDeterministic,
    Clock: faults.NotDeterministic,
    SumOverBatch: faults.DependsOnBatch,
    OneNormForAll: faults.DependsOnBatch,
    LogOfSigmoid: faults.NotFinite,
    FiniteValueInfiniteGradient: faults.NotFinite,
    Backward: faults.LeaksGradient,
    KeepsGraph: faults.LeaksGradient,
    Thaws: faults.LeaksGradient,
    Freezes: faults.LeaksGradient,
    Detached: faults.LeaksGradient,
    ForgetsItsCount: faults.LosesState,
    SavesASet: faults.LosesState,
    NeverLoads: faults.LosesState,
    FunctionOption: faults.UnwritableOption,
    WrongDefault: faults.UnwritableOption,
    NeedsOption: faults.WrongInterface,
    Halves: faults.AssumesDtype,
    DefaultTypeTarget: faults.AssumesDtype,
    HostTarget: faults.AssumesDevice,
    WritesIntoReal: faults.ChangesInputs,
    AnomalyMode: faults.ChangesSettings,
    Typo: faults.Crash,
    RefusesAll: faults.Crash,
}


def test_the_loss_that_the_faulty_ones_vary_conforms():
    testing.check_loss(Good)


@pytest.mark.parametrize(("loss", "fault"), LOSS_FAULTS.items(), ids=lambda one: one.__name__)
def test_a_faulty_loss_is_found(loss, fault):
    fails("loss", loss, fault)


def test_a_loss_that_averages_across_the_batch_may_say_so():
    def centred():
        class Centred(Good):
            def real(self, logits):
                return F.softplus(logits.mean() - logits).mean()

        return Centred()

    fails("loss", centred, faults.DependsOnBatch)
    testing.check_loss(centred, across_batch=True)
    centred.across_batch = True
    testing.check_loss(centred)


def test_a_component_may_be_given_by_name_with_options():
    testing.check_loss("nonsat:smoothing=0.1")
    with pytest.raises(UsageError, match="no loss 'nonsatt'"):
        testing.check_loss("nonsatt")


# --- optimizers ---------------------------------------------------------------------------------


class Descent(torch.optim.Optimizer):
    """Momentum, as the faulty optimizers vary it."""

    def __init__(self, params, lr=0.05, **more):
        super().__init__(params, {"lr": lr, **more})

    def buffer(self, p):
        return torch.zeros_like(p)

    def direction(self, p):
        state = self.state[p]
        state["v"] = 0.9 * state.get("v", self.buffer(p)) + p.grad
        return state["v"]

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(self.direction(p), alpha=group["lr"])


def made(cls: type, **more: Any) -> Callable[[nn.Module], Any]:
    def optimizer(module):
        return cls(module.parameters(), **more)

    return optimizer


class Still(Descent):
    def step(self, closure=None):
        return None


class DecaysAll(Descent):
    def step(self, closure=None):
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                p.data.mul_(0.99)


class NoisyByNumpy(Descent):
    def direction(self, p):
        return p.grad + 0.01 * np.random.randn()


class NoisyByItself(Descent):
    def direction(self, p):
        return p.grad + 0.01 * torch.randn(p.shape, generator=own_torch).to(p)


class HiddenMomentum(Descent):
    def __init__(self, params, lr=0.05):
        super().__init__(params, lr)
        self.velocities = {}

    def direction(self, p):
        self.velocities[p] = 0.9 * self.velocities.get(p, 0) + p.grad
        return self.velocities[p]


class UnsavableState(Descent):
    def direction(self, p):
        self.state[p]["seen"] = {1, 2}
        return p.grad


class HostBuffer(Descent):
    def buffer(self, p):
        return torch.zeros(p.shape, dtype=p.dtype)


class SinglePrecision(Descent):
    def step(self, closure=None):
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                p.data = p.data.float()


class Explodes(Descent):
    def direction(self, p):
        return p.grad / 0.0


class NoRate(Descent):
    def step(self, closure=None):
        for group in self.param_groups:
            group.pop("lr", None)

    def __init__(self, params):
        super().__init__(params)
        self.step()


def only_matrices(module):
    return Descent([p for p in module.parameters() if p.ndim == 2])


def no_optimizer(module):
    return list(module.parameters())


OPTIMIZER_FAULTS = {
    "no_optimizer": (no_optimizer, faults.WrongInterface),
    "only_matrices": (only_matrices, faults.WrongInterface),
    "no_rate": (made(NoRate), faults.WrongInterface),
    "still": (made(Still), faults.WrongInterface),
    "decays_all": (made(DecaysAll), faults.LeaksGradient),
    "noisy_by_numpy": (made(NoisyByNumpy), faults.HiddenRandomness),
    "noisy_by_itself": (made(NoisyByItself), faults.NotDeterministic),
    "hidden_momentum": (made(HiddenMomentum), faults.LosesState),
    "unsavable_state": (made(UnsavableState), faults.LosesState),
    "host_buffer": (made(HostBuffer), faults.AssumesDevice),
    "single_precision": (made(SinglePrecision), faults.AssumesDtype),
    "explodes": (made(Explodes), faults.NotFinite),
    "unsavable_group": (made(Descent, foreach=object()), faults.LosesState),
    "type_error": (lambda module: torch.optim.SGD(), faults.Crash),
}


def test_the_optimizer_that_the_faulty_ones_vary_conforms():
    testing.check_optimizer(made(Descent))


@pytest.mark.parametrize("name", OPTIMIZER_FAULTS)
def test_a_faulty_optimizer_is_found(name):
    fails("optimizer", *OPTIMIZER_FAULTS[name])


def test_an_optimizer_that_refuses_is_no_fault():
    with pytest.raises(UsageError, match="sparse gradients only"):
        testing.check_optimizer("sparseadam")


# --- networks -----------------------------------------------------------------------------------


class Net(nn.Module):
    """A perceptron whose pieces the faulty networks vary."""

    def __init__(self, shape_in, shape_out, last=None):
        super().__init__()
        self.shape_out = shape_out
        size_in, size_out = (int(torch.Size(s).numel()) for s in (shape_in, shape_out))
        self.first, self.second = nn.Linear(size_in, 8), nn.Linear(8, size_out)
        self.last = last or nn.Identity()

    def hidden(self, x):
        return self.first(x.flatten(1)).tanh()

    def out(self, y):
        return self.last(y).reshape(len(y), *self.shape_out)

    def forward(self, x):
        return self.out(self.second(self.hidden(x)))


def generator(cls, last=nn.Tanh):
    def make(z_dim, shape):
        return cls((z_dim,), shape, last())

    return make


def discriminator(cls):
    def make(shape):
        return cls(shape, ())

    return make


class Flat(Net):
    def forward(self, x):
        return self.second(self.hidden(x))


class Column(Net):
    def forward(self, x):
        return super().forward(x)[:, None]


class DetachedNet(Net):
    def forward(self, x):
        return super().forward(x).detach().requires_grad_()


class Bright(Net):
    def forward(self, x):
        return 2 * super().forward(100 * x)


class Infinite(Net):
    def forward(self, x):
        return super().forward(x) / 0


class WritesInput(Net):
    def hidden(self, x):
        with torch.no_grad():
            x.mul_(2)
        return super().hidden(x)


class NumpyInit(Net):
    def __init__(self, *args):
        super().__init__(*args)
        self.first.weight.data.mul_(float(np.random.rand()) + 1)


class AlwaysDropsOut(Net):
    def hidden(self, x):
        return F.dropout(super().hidden(x), 0.5)


class BatchStatistics(Net):
    def __init__(self, *args):
        super().__init__(*args)
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)

    def hidden(self, x):
        y = super().hidden(x)
        return self.norm(y) if len(y) > 1 else y


class UnregisteredBasis(Net):
    def __init__(self, *args):
        super().__init__(*args)
        self.basis = torch.randn(8)

    def hidden(self, x):
        return super().hidden(x) * self.basis.to(x)


class UnregisteredConstant(Net):
    def __init__(self, *args):
        super().__init__(*args)
        self.scale = torch.full((8,), 0.5)

    def hidden(self, x):
        return (super().hidden(x) * self.scale).to(x)


class SinglePrecisionOnly(Net):
    def out(self, y):
        return super().out(y.float())


class CountsInEval(Net):
    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("count", torch.zeros(()))

    def hidden(self, x):
        self.count += 1
        return super().hidden(x)


class Uncopyable(Net):
    def __init__(self, *args):
        super().__init__(*args)
        self.lock = threading.Lock()


class Rounded(Net):
    def hidden(self, x):
        return super().hidden(x.round())


class BatchSpread(Net):
    def hidden(self, x):
        y = super().hidden(x)
        return y + y.std(0, correction=0)


def no_module(z_dim, shape):
    return torch.tanh


def refuses_all(z_dim, shape):
    raise ValueError("only 1024 × 1024 images")


NETWORK_FAULTS = {
    "flat": ("generator", generator(Flat), faults.WrongShape),
    "beyond_the_range": ("generator", generator(Bright), faults.WrongInterface),
    "infinite": ("generator", generator(Infinite, nn.Identity), faults.NotFinite),
    "detached": ("generator", generator(DetachedNet), faults.LeaksGradient),
    "writes_input": ("generator", generator(WritesInput), faults.ChangesInputs),
    "numpy_init": ("generator", generator(NumpyInit), faults.HiddenRandomness),
    "always_drops_out": ("generator", generator(AlwaysDropsOut), faults.HiddenRandomness),
    "batch_statistics": ("generator", generator(BatchStatistics), faults.DependsOnBatch),
    "unregistered_basis": ("generator", generator(UnregisteredBasis), faults.LosesState),
    "unregistered_constant": ("generator", generator(UnregisteredConstant), faults.AssumesDevice),
    "single_precision": ("generator", generator(SinglePrecisionOnly), faults.AssumesDtype),
    "counts_in_eval": ("generator", generator(CountsInEval), faults.LosesState),
    "uncopyable": ("generator", generator(Uncopyable), faults.Crash),
    "no_module": ("generator", no_module, faults.WrongInterface),
    "refuses_all": ("generator", refuses_all, faults.Crash),
    "takes_too_little": ("generator", lambda z_dim: None, faults.WrongInterface),
    "column": ("discriminator", discriminator(Column), faults.WrongShape),
    "rounded": ("discriminator", discriminator(Rounded), faults.LeaksGradient),
    "batch_spread": ("discriminator", discriminator(BatchSpread), faults.DependsOnBatch),
}


def test_the_networks_that_the_faulty_ones_vary_conform():
    testing.check_generator(generator(Net))
    testing.check_discriminator(discriminator(Net))


@pytest.mark.parametrize("name", NETWORK_FAULTS)
def test_a_faulty_network_is_found(name):
    kind, network, fault = NETWORK_FAULTS[name]
    fails(kind, network, fault)


def test_a_discriminator_that_compares_within_the_batch_may_say_so():
    spread = discriminator(BatchSpread)
    spread.across_batch = True
    testing.check_discriminator(spread)


# --- rules --------------------------------------------------------------------------------------


def rule_of(step: Callable[..., Any]) -> Callable[[], Any]:
    def rule():
        return step

    return rule


def simultaneous(game):
    terms = game.gradients(game.draw())
    for player in game.players:
        player.update()
    return terms


def returns_nothing(game):
    simultaneous(game)


def returns_a_vector(game):
    return {"all": torch.stack(list(simultaneous(game).values()))}


def keeps_the_graph(game):
    return {**simultaneous(game), "norm": game.generator.parameters[0].norm()}


def leaves_d(game):
    terms = game.gradients(game.draw())
    game.generator.update()
    return terms


def never_moves_g(game):
    terms = game.d_gradient(game.draw())
    game.discriminator.update()
    return terms


def own_batches(game):
    terms = game.gradients(torch.arange(8))
    for player in game.players:
        player.update()
    return terms


def counts_itself(game):
    terms = simultaneous(game)
    game.step += 1
    return terms


def leaves_frozen(game):
    terms = simultaneous(game)
    game.discriminator.module.requires_grad_(False)
    return terms


def by_numpy(game):
    terms = simultaneous(game)
    return simultaneous(game) if np.random.rand() < 0.5 else terms


def by_its_own_generator(game):
    terms = simultaneous(game)
    return simultaneous(game) if own_numpy.random() < 0.5 else terms


def saves_a_set(game):
    game.memory["seen"] = {game.step}
    return simultaneous(game)


def to_single(game):
    terms = simultaneous(game)
    for p in game.generator.parameters:
        p.data = p.data.float()
    return terms


def closure_state():
    """Twice as many updates of D at every second step, counted in a closure."""
    count = 0

    def step(game):
        nonlocal count
        count += 1
        if count % 2:
            game.d_gradient(game.draw())
            game.discriminator.update()
        return simultaneous(game)

    return step


def no_function():
    return "alternating"


def wants_two_draws_one():
    def step(game):
        return simultaneous(game)

    step.batches = 2
    return step


def wants_half_a_batch():
    def step(game):
        return simultaneous(game)

    step.batches = 0.5
    return step


RULE_FAULTS = {
    "returns_nothing": (rule_of(returns_nothing), faults.WrongInterface),
    "returns_a_vector": (rule_of(returns_a_vector), faults.WrongShape),
    "keeps_the_graph": (rule_of(keeps_the_graph), faults.LeaksGradient),
    "leaves_d": (rule_of(leaves_d), faults.LeaksGradient),
    "leaves_frozen": (rule_of(leaves_frozen), faults.LeaksGradient),
    "never_moves_g": (rule_of(never_moves_g), faults.WrongInterface),
    "own_batches": (rule_of(own_batches), faults.WrongInterface),
    "counts_itself": (rule_of(counts_itself), faults.WrongInterface),
    "no_function": (no_function, faults.WrongInterface),
    "by_numpy": (rule_of(by_numpy), faults.HiddenRandomness),
    "by_its_own_generator": (rule_of(by_its_own_generator), faults.NotDeterministic),
    "closure_state": (closure_state, faults.LosesState),
    "saves_a_set": (rule_of(saves_a_set), faults.LosesState),
    "to_single": (rule_of(to_single), faults.AssumesDtype),
    "wants_two_draws_one": (wants_two_draws_one, faults.WrongInterface),
    "wants_half_a_batch": (wants_half_a_batch, faults.WrongInterface),
}


def test_the_rule_that_the_faulty_ones_vary_conforms():
    testing.check_rule(rule_of(simultaneous))


@pytest.mark.parametrize("name", RULE_FAULTS)
def test_a_faulty_rule_is_found(name):
    fails("rule", *RULE_FAULTS[name])


# --- data ---------------------------------------------------------------------------------------

IMAGES = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
POINTS = torch.ones(4, 2)


def data_of(make: Callable[[], Any]) -> Callable[[Any], Any]:
    def data(root):
        return make()

    return data


DATA_FAULTS = {
    "not_data": (lambda: IMAGES, faults.WrongInterface),
    "float_images": (lambda: Data(IMAGES.float()), faults.WrongShape),
    "no_channels": (lambda: Data(IMAGES[:, 0]), faults.WrongShape),
    "empty": (lambda: Data(IMAGES[:0]), faults.WrongShape),
    "integer_points": (lambda: Data(POINTS.long()), faults.WrongShape),
    "not_finite": (lambda: Data(POINTS / 0), faults.NotFinite),
    "short_labels": (lambda: Data(POINTS, torch.zeros(4, dtype=torch.int32)), faults.WrongShape),
    "few_labels": (lambda: Data(POINTS, torch.zeros(3, dtype=torch.int64)), faults.WrongShape),
    "torch_noise": (lambda: Data(torch.randn(4, 2)), faults.HiddenRandomness),
    "numpy_noise": (lambda: Data(POINTS * np.random.rand()), faults.HiddenRandomness),
    "own_noise": (lambda: Data(torch.randn(4, 2, generator=own_torch)), faults.NotDeterministic),
    "tensor_facts": (lambda: Data(POINTS, None, {"mean": POINTS}), faults.UnwritableOption),
    "crash": (lambda: Data(POINTS[9]), faults.Crash),
}


@pytest.mark.parametrize("name", DATA_FAULTS)
def test_a_faulty_data_set_is_found(name):
    make, fault = DATA_FAULTS[name]
    fails("data", data_of(make), fault)


def test_good_images_and_points_conform():
    testing.check_dataset(data_of(lambda: Data(IMAGES, torch.arange(4), {"n": 4})))
    testing.check_dataset(data_of(lambda: Data(POINTS)))


# --- metrics ------------------------------------------------------------------------------------


def metric_of(measure: Callable[[Any], Any]) -> Callable[[], Any]:
    def metric():
        return measure

    return metric


def mean(evaluation):
    return {"mean": evaluation.x_fake.double().mean().item()}


def draws(evaluation):
    return {"mean": mean(evaluation)["mean"] + 0 * torch.rand(()).item()}


def leaves_training_mode(evaluation):
    evaluation.generator.eval()
    return mean(evaluation)


def writes(evaluation):
    evaluation.x_fake.mul_(0)
    return mean(evaluation)


METRIC_FAULTS = {
    "number": (lambda evaluation: 1.0, faults.WrongInterface),
    "tensor_value": (lambda e: {"mean": e.x_fake.double().mean()}, faults.WrongInterface),
    "not_finite": (lambda e: {"mean": float("nan")}, faults.NotFinite),
    "draws": (draws, faults.HiddenRandomness),
    "numpy": (lambda e: {"mean": np.random.rand()}, faults.HiddenRandomness),
    "own_generator": (lambda e: {"mean": float(own_numpy.random())}, faults.NotDeterministic),
    "leaves_training_mode": (leaves_training_mode, faults.ChangesInputs),
    "writes": (writes, faults.ChangesInputs),
    "crash": (lambda e: {"mean": e.fake_images}, faults.Crash),
}


def test_the_metric_that_the_faulty_ones_vary_conforms():
    testing.check_metric(metric_of(mean))


@pytest.mark.parametrize("name", METRIC_FAULTS)
def test_a_faulty_metric_is_found(name):
    measure, fault = METRIC_FAULTS[name]
    fails("metric", metric_of(measure), fault)


# --- schedules, extractors, trackers, commands --------------------------------------------------


class Forgetful(LambdaLR):
    def __init__(self, optimizer):
        self.count = 0
        super().__init__(optimizer, lambda step: 1.0)

    def get_lr(self):
        self.count += 1
        return [0.1 / self.count]

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


SCHEDULE_FAULTS = {
    "a_function": (lambda optimizer, steps: lambda step: 0.1, faults.WrongInterface),
    "negative": (lambda o, steps: LambdaLR(o, lambda step: 1 - step), faults.NotFinite),
    "forgetful": (lambda optimizer, steps: Forgetful(optimizer), faults.LosesState),
}


@pytest.mark.parametrize("name", SCHEDULE_FAULTS)
def test_a_faulty_schedule_is_found(name):
    fails("schedule", *SCHEDULE_FAULTS[name])


class Pixels(nn.Module):
    """The mean of each channel's first rows, padded to three channels."""

    name, sha256, preprocessing = "pixels", "0" * 64, "none"

    def forward(self, images):
        return images.float().flatten(1)[:, :6]


class Anonymous(Pixels):
    sha256 = None


class ImagesOut(Pixels):
    def forward(self, images):
        return images.float()


class Centred(Pixels):
    def forward(self, images):
        features = super().forward(images)
        return features - features.mean(0)


class Noisy(Pixels):
    def forward(self, images):
        return super().forward(images) + torch.rand(6)


class Doubled(Pixels):
    def forward(self, images):
        return super().forward(images).double()


EXTRACTOR_FAULTS = {
    Anonymous: faults.WrongInterface,
    ImagesOut: faults.WrongShape,
    Centred: faults.DependsOnBatch,
    Noisy: faults.HiddenRandomness,
    Doubled: faults.AssumesDtype,
}


def test_the_extractor_that_the_faulty_ones_vary_conforms():
    testing.check_extractor(Pixels)


@pytest.mark.parametrize(("cls", "fault"), EXTRACTOR_FAULTS.items())
def test_a_faulty_extractor_is_found(cls, fault):
    fails("extractor", cls, fault)


class Quiet:
    def run_start(self, spec, run_id):
        pass

    def progress(self, snapshot):
        pass

    def run_end(self, record, folder):
        pass


class Deaf:
    run_start = Quiet.run_start


class Fails(Quiet):
    def progress(self, snapshot):
        raise ConnectionError("no server")


class Draws(Quiet):
    def run_start(self, spec, run_id):
        torch.rand(1)


def test_a_quiet_tracker_conforms():
    testing.check_tracker(Quiet)


@pytest.mark.parametrize(
    ("tracker", "fault"),
    [(Deaf, faults.WrongInterface), (Fails, faults.Crash), (Draws, faults.ChangesInputs)],
)
def test_a_faulty_tracker_is_found(tracker, fault):
    fails("tracker", tracker, fault)


def test_a_command_must_be_one():
    def greet(name: str) -> None:
        """Greet one."""

    testing.check_command(greet)
    fails("command", dict, faults.WrongInterface)


# --- the suite ----------------------------------------------------------------------------------


def cases(test: Any) -> list[Any]:
    (mark,) = test.pytestmark
    return list(mark.args[1])


def test_the_suite_of_a_package_that_is_not_there_fails_with_the_remedy():
    (case,) = cases(conformance_tests("ganbench-nowhere"))
    with pytest.raises(pytest.fail.Exception, match="pip install -e"):
        case.run()


def test_the_suite_skips_what_refuses_with_its_reason():
    (case,) = [one for one in cases(conformance_tests("ganbench")) if one.name == "sparseadam"]
    with pytest.raises(pytest.skip.Exception, match="sparse gradients only"):
        case.run()


def test_the_suite_tries_a_component_as_its_examples_say():
    suite = conformance_tests("ganbench", examples={"loss": ["l1:weight=1", "l1:weight=2"]})
    written = [one.text for one in cases(suite) if one.kind == "loss" and "l1" in one.text]
    assert written == ["ganbench/l1:weight=1", "ganbench/l1:weight=2"]


def test_the_suite_covers_every_component_of_every_kind(registry):
    from ganbench.hookspecs import KINDS

    known = {(kind, one) for kind in KINDS for one in registry.names(kind)}
    own = {
        (kind, name) for kind, name in known if registry.find(kind, name).plugin.dist == "ganbench"
    }
    assert {(one.kind, one.name) for one in cases(conformance_tests("ganbench"))} == own


def test_the_suite_leaves_out_what_it_is_told_to():
    suite = conformance_tests("ganbench", leave_out=["l1", "l2"])
    assert not {"l1", "l2"} & {one.name for one in cases(suite)}
