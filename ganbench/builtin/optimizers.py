"""Optimizers with defaults for GANs. All others of torch.optim are in `torch_optim`."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from ganbench.builtin.composed import Lookahead, Optimistic, Together
from ganbench.builtin.fused_adam import FusedAdam

__all__ = [
    "adam",
    "gd",
    "lbfgs",
    "lookahead",
    "muon",
    "omd",
    "optimistic",
    "optimistic_adam",
    "sgd",
    "sparseadam",
]

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Decay, Decay]


def gd(module: nn.Module, lr: Positive = 0.1) -> Optimizer:
    """Gradient descent on the whole data set: θ ← θ − lr·∇L.

    Sets the batch size to full; gradients are accumulated over micro-batches, so that memory does
    not grow with the data.
    """
    return torch.optim.SGD(module.parameters(), lr=lr, fused=True)


gd.run_requires = {"batch_size": "full"}  # type: ignore[attr-defined]


def sgd(
    module: nn.Module,
    lr: Positive = 0.05,
    momentum: Annotated[float, Field(gt=-1, lt=1)] = 0.0,
    nesterov: bool = False,
    weight_decay: NotNegative = 0.0,
) -> Optimizer:
    """Stochastic gradient descent: θ ← θ − lr·∇L(ξ), ξ a random batch.

    v ← momentum·v + ∇L, θ ← θ − lr·v. The momentum may be negative, which damps the game's
    rotation (Gidel et al. 2019, arXiv:1807.04740). The default rate is the best without momentum
    in the search of docs/sgd.md, on the article's MLP.
    """
    optimizer = torch.optim.SGD(
        module.parameters(),
        lr=lr,
        momentum=max(momentum, 0.0),
        nesterov=nesterov,
        weight_decay=weight_decay,
        fused=True,
    )
    for group in optimizer.param_groups:
        group["momentum"] = momentum  # torch refuses a negative one at construction only
    return optimizer


def adam(
    module: nn.Module,
    lr: Positive = 2e-4,
    betas: Betas = (0.5, 0.999),
    eps: Positive = 1e-8,
    weight_decay: NotNegative = 0.0,
    amsgrad: bool = False,
) -> Optimizer:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with the rate and betas of DCGAN.

    m̂/(√v̂ + eps) is the direction. Defaults: Radford et al. 2016 (arXiv:1511.06434), section 4.
    """
    return FusedAdam(
        module.parameters(),
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        amsgrad=amsgrad,
        fused=True,
    )


def omd(module: nn.Module, lr: Positive = 0.05) -> Optimizer:
    """Optimistic mirror descent: θ ← θ − 2·lr·g_t + lr·g_{t−1}.

    Also called OGDA. Daskalakis et al. 2018 (arXiv:1711.00141), eq. 6. With the simultaneous rule
    on the bilinear game it converges for lr < 1/√3.
    """
    return Optimistic(sgd(module, lr))


def optimistic_adam(
    module: nn.Module, lr: Positive = 2e-4, betas: Betas = (0.5, 0.999), eps: Positive = 1e-8
) -> Optimizer:
    """Optimistic Adam: θ ← θ − 2d_t + d_{t−1}, d_t Adam's step.

    Daskalakis et al. 2018 (arXiv:1711.00141), algorithm 1. Rate and betas as DCGAN's Adam.
    """
    return Optimistic(adam(module, lr, betas, eps))


def optimistic(module: nn.Module, base: str = "adam") -> Optimizer:
    """The optimistic step around any optimizer: θ ← θ − 2d_t + d_{t−1}.

    `base` is written as on the command line: optimistic:base="rmsprop:lr=1e-4". Daskalakis et al.
    2018 (arXiv:1711.00141).
    """
    return Optimistic(_created(base, module))


def lookahead(
    module: nn.Module,
    base: str = "adam",
    k: Annotated[int, Field(ge=1)] = 5,
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.5,
) -> Optimizer:
    """Lookahead around any optimizer: every k steps slow ← slow + alpha(θ − slow), θ ← slow.

    For this player alone; rule lookahead-minimax takes both players back together. Zhang et al.
    2019 (arXiv:1907.08610), algorithm 1. base="adam:lr=1e-4" as on the command line.
    """
    return Lookahead(_created(base, module), k, alpha)


def lbfgs(module: nn.Module, lr: Positive = 1.0, history_size: int = 100) -> Optimizer:
    """L-BFGS, one quasi-Newton update a step: torch's LBFGS with max_iter=1 and no line search.

    A longer inner loop would play several steps of one player against a frozen other, on one
    batch: that is another rule, not another optimizer. Liu & Nocedal 1989.
    """
    return torch.optim.LBFGS(
        module.parameters(), lr=lr, max_iter=1, max_eval=1, history_size=history_size
    )


def muon(
    module: nn.Module,
    lr: Positive = 1e-3,
    momentum: Decay = 0.95,
    weight_decay: NotNegative = 0.0,
    adamw_lr: Positive = 2e-4,
    adamw_betas: Betas = (0.5, 0.999),
) -> Optimizer:
    """Muon for the weight matrices, AdamW for everything else (biases, norms, convolutions).

    torch's Muon takes matrices only. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim == 2]
    rest = [p for p in parameters if p.ndim != 2]
    parts: list[Optimizer] = []
    if matrices:
        parts.append(
            torch.optim.Muon(matrices, lr=lr, momentum=momentum, weight_decay=weight_decay)
        )
    if rest:
        parts.append(
            torch.optim.AdamW(
                rest, lr=adamw_lr, betas=adamw_betas, weight_decay=weight_decay, fused=True
            )
        )
    return Together(parts)


def sparseadam(module: nn.Module) -> Optimizer:
    """Refused: torch's SparseAdam takes sparse gradients, and these networks make dense ones."""
    raise ValueError("it takes sparse gradients only, and networks here make dense ones: use adam")


def _created(text: str, module: nn.Module) -> Optimizer:
    from ganbench.grammar import parse_component
    from ganbench.plan import make_part
    from ganbench.registry import default_registry

    part = make_part(default_registry(), "optimizer", parse_component(text))
    return part.create(module)  # type: ignore[no-any-return]
