"""Truths about losses and penalties that need no reference implementation.

Each check takes a loss's factory and raises AssertionError where the loss is not what it says, so
that the same check shows that the right one passes and that a planted mistake does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ganbench.grammar import parse_sum
from ganbench.loss_sum import combine
from ganbench.plan import make_part
from ganbench.protocols import Loss
from ganbench.registry import default_registry

Factory = Callable[[], Loss]
OfLogits = Callable[[float, float], float]

GRID = (-30.0, -2.5, -0.3, 0.0, 0.7, 3.0, 25.0)


def named(text: str) -> Factory:
    """The factory of a loss as a user writes it: found, checked and summed as for a run."""

    def factory() -> Loss:
        parts = [make_part(default_registry(), "loss", one) for one in parse_sum(text)]
        return combine([(part.name, part.create()) for part in parts])

    return factory


def total(terms: object) -> Tensor:
    return torch.stack(list(terms.values())).sum()  # type: ignore[attr-defined]


class Logit:
    """D(x) = x: a sample is its own logit."""

    module = nn.Identity()

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, 0]


class Linear(nn.Module):
    """D(x) = w·x, whose gradient is w everywhere. It is its own scorer."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    @property
    def module(self) -> nn.Module:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.w).flatten(1).sum(1)


class Smooth(nn.Module):
    """A small network with all derivatives, in float64. It is its own scorer."""

    def __init__(self, shape: Sequence[int], seed: int = 0) -> None:
        super().__init__()
        make = torch.Generator().manual_seed(seed)
        features = math.prod(shape)
        self.w = nn.Parameter(torch.randn(features, 3, generator=make, dtype=torch.float64))
        self.v = nn.Parameter(torch.randn(3, generator=make, dtype=torch.float64))

    @property
    def module(self) -> nn.Module:
        return self

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.w / self.w.shape[0] ** 0.5).tanh() @ self.v


def batch(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- losses of logits ---------------------------------------------------------------------------


def softplus(t: float) -> float:
    return max(t, 0.0) + math.log1p(math.exp(-abs(t)))


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t)) if t >= 0 else math.exp(t) / (1 + math.exp(t))


def close(value: float, expected: float, rel: float = 1e-8) -> bool:
    return math.isclose(value, expected, rel_tol=rel, abs_tol=1e-12)


def at_logits(
    loss: Loss, a: float, b: float, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
    """D's loss, G's loss, D's loss by (a, b) and G's loss by b, at one logit each."""
    real = torch.tensor([[a]], dtype=dtype, requires_grad=True)
    fake = torch.tensor([[b]], dtype=dtype, requires_grad=True)
    d = total(loss.d_loss(Logit(), real, fake))
    by_ab = torch.autograd.grad(d, (real, fake), materialize_grads=True)
    g = total(loss.g_loss(Logit(), real, fake))
    (by_b,) = torch.autograd.grad(g, fake, materialize_grads=True)
    return d.detach(), g.detach(), by_ab, by_b


def check_closed_form(factory: Factory, d: OfLogits, g: OfLogits) -> None:
    """Both players' losses equal the closed form, for confident logits as for undecided ones."""
    for a in GRID:
        for b in GRID:
            found_d, found_g, *_ = at_logits(factory(), a, b)
            assert close(found_d.item(), d(a, b)), (a, b, found_d.item(), d(a, b))
            assert close(found_g.item(), g(a, b)), (a, b, found_g.item(), g(a, b))


def check_mean_over_batch(factory: Factory, d: OfLogits, g: OfLogits) -> None:
    """The loss of a batch is the mean of the losses of its pairs."""
    real, fake = batch(5, 1, seed=2), batch(5, 1, seed=3)
    pairs = list(zip(real.flatten().tolist(), fake.flatten().tolist(), strict=True))
    loss = factory()
    found_d, found_g = (total(f(Logit(), real, fake)).item() for f in (loss.d_loss, loss.g_loss))
    assert close(found_d, sum(d(a, b) for a, b in pairs) / 5)
    assert close(found_g, sum(g(a, b) for a, b in pairs) / 5)


def check_g_gradient(factory: Factory, by_b: Callable[[float], float]) -> None:
    """G's gradient with respect to a fake's logit, to float32 precision, in float32."""
    for b in (-30.0, -5.0, 0.0, 5.0, 30.0):
        found = at_logits(factory(), 0.0, b, torch.float32)[3].item()
        assert math.isclose(found, by_b(b), rel_tol=1e-5), (b, found, by_b(b))


def check_d_gradient(
    factory: Factory, by_a: Callable[[float], float], by_b: Callable[[float], float]
) -> None:
    """D's gradient with respect to both logits, in float32."""
    for t in (-30.0, -5.0, 0.0, 5.0, 30.0):
        found_a, found_b = at_logits(factory(), t, t, torch.float32)[2]
        assert math.isclose(found_a.item(), by_a(t), rel_tol=1e-5)
        assert math.isclose(found_b.item(), by_b(t), rel_tol=1e-5)


def check_finite(factory: Factory, most: float, dtype: torch.dtype) -> None:
    """Values and gradients are finite for logits in ±most."""
    for a in (-most, 0.0, most):
        for b in (-most, 0.0, most):
            d, g, by_ab, by_b = at_logits(factory(), a, b, dtype)
            for value in (d, g, *by_ab, by_b):
                assert bool(value.isfinite().all()), (a, b, d, g, by_ab, by_b)


def check_derivatives(factory: Factory, shape: Sequence[int], network: nn.Module) -> None:
    """Both losses agree with finite differences, by D's parameters and by the fakes."""
    real, fake = batch(3, *shape, seed=4), batch(3, *shape, seed=5).requires_grad_()
    parameters = tuple(network.parameters())

    def d_loss(*_: Tensor) -> Tensor:
        return _seeded(lambda: total(factory().d_loss(network, real, fake.detach())))

    def g_loss(*_: Tensor) -> Tensor:
        return _seeded(lambda: total(factory().g_loss(network, real, fake)))

    probe = factory()
    if _seeded(lambda: probe.d_loss(network, real, fake.detach())):
        assert torch.autograd.gradcheck(d_loss, parameters)
    if _seeded(lambda: probe.g_loss(network, real, fake)):
        assert torch.autograd.gradcheck(g_loss, (fake,))


def check_second_derivatives(factory: Factory, shape: Sequence[int]) -> None:
    """The gradient of D's loss by D's parameters agrees with finite differences too."""
    network = Smooth(shape)
    real, fake = batch(2, *shape, seed=6), batch(2, *shape, seed=7)

    def d_loss(*_: Tensor) -> Tensor:
        return _seeded(lambda: total(factory().d_loss(network, real, fake)))

    assert torch.autograd.gradgradcheck(d_loss, tuple(network.parameters()))


def _seeded(body: Callable[[], object]) -> object:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return body()


# --- penalties ----------------------------------------------------------------------------------


def penalty_at(loss: Loss, discriminator: nn.Module, real: Tensor, fake: Tensor) -> float:
    return float(total(loss.d_loss(discriminator, real, fake)).detach())


def check_linear(factory: Factory, of_norm: Callable[[float], float]) -> None:
    """For D(x) = w·x the penalty is a function of ‖w‖ alone, whatever the batch size."""
    for shape in ((4,), (3, 2, 2)):
        for scale in (0.1, 1.0, 3.0):
            w = batch(*shape, seed=8)
            w = scale * w / w.norm()
            for n in (1, 2, 7):
                real, fake = batch(n, *shape, seed=9), batch(n, *shape, seed=10)
                found = penalty_at(factory(), Linear(w), real, fake)
                assert close(found, of_norm(scale)), (shape, n, found, of_norm(scale))


def check_one_share_per_sample(factory: Factory) -> None:
    """Each sample is interpolated by one ε of its own in [0, 1]."""
    seen: list[Tensor] = []

    class Recorder(Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return super().forward(x)

    real, fake = torch.ones(64, 2, 2, 2), torch.zeros(64, 2, 2, 2)
    penalty_at(factory(), Recorder(torch.ones(2, 2, 2)), real, fake)
    shares = seen[0].flatten(1)  # x̂ = ε·1 + (1 − ε)·0
    assert torch.equal(shares, shares[:, :1].expand_as(shares)), "ε varies within a sample"
    per_sample = shares[:, 0]
    assert per_sample.unique().numel() == 64, "samples share their ε"
    assert 0 <= per_sample.min() < 0.2, "ε does not reach 0"
    assert 0.8 < per_sample.max() <= 1, "ε does not reach 1"


def check_finite_at_zero_gradient(factory: Factory) -> None:
    """Where D is flat the penalty's own gradient is finite."""
    network = Linear(torch.zeros(3, 2, 2))
    real, fake = batch(4, 3, 2, 2, dtype=torch.float32), torch.zeros(4, 3, 2, 2)
    total(factory().d_loss(network, real, fake)).backward()
    assert network.w.grad is not None
    assert bool(network.w.grad.isfinite().all())


def check_lazy(plain: Factory, lazy: Factory, every: int) -> None:
    """Applied at one of `every` updates, the mean over updates is that of the plain penalty."""
    network = Linear(batch(4, seed=11))
    real, fake = batch(3, 4, seed=12), batch(3, 4, seed=13)
    loss = lazy()
    applied = []
    for _ in range(2 * every):
        terms = loss.d_loss(network, real, fake)
        applied.append(float(total(terms).detach()) if terms else 0.0)
        loss.after_d_update(network)  # type: ignore[attr-defined]
    assert sum(value != 0 for value in applied) == 2
    expected = penalty_at(plain(), network, real, fake)
    assert close(sum(applied) / len(applied), expected), (applied, expected)
