"""Players: an optimizer that keeps an average of its own, and gradients laid out in another way."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ganbench.player import Player


class Averaging(torch.optim.SGD):
    """SGD with the mean of its iterates, taken out and in as schedule-free optimizers do it."""

    def __init__(self, parameter: nn.Parameter) -> None:
        super().__init__([parameter], lr=0.1)
        self.parameter, self.visited = parameter, [parameter.detach().clone()]

    def step(self, closure=None):
        super().step()
        self.visited.append(self.parameter.detach().clone())

    @torch.no_grad()
    def eval(self) -> None:
        self.parameter.copy_(torch.stack(self.visited).mean(0))

    @torch.no_grad()
    def train(self) -> None:
        self.parameter.copy_(self.visited[-1] * 1.0000001)  # right to a rounding, as theirs


def test_an_optimizer_s_own_average_is_evaluated_and_training_goes_on_where_it_was():
    module = nn.Linear(1, 1, bias=False)
    nn.init.ones_(module.weight)
    player = Player(module, Averaging(module.weight))
    for _ in range(3):  # the gradient is 1: 1, 0.9, 0.8, 0.7, whose mean is 0.85
        player.backward(module(torch.ones(1)).sum())
        player.update()
    latest = module.weight.detach().clone()

    averaged = player.averaged()
    torch.testing.assert_close(averaged.weight, torch.tensor([[0.85]]))
    assert torch.equal(module.weight, latest)
    assert averaged is not module


def test_without_an_average_the_network_itself_is_evaluated():
    module = nn.Linear(1, 1)
    assert Player(module, torch.optim.SGD(module.parameters(), lr=0.1)).averaged() is module


def _transposed(x: torch.Tensor) -> torch.Tensor:
    return x.mT.contiguous().mT


@pytest.mark.parametrize("which", ["Adam", "AdamW", "SGD", "Adagrad"])
def test_a_gradient_is_that_of_the_same_indices_however_it_lies_in_memory(which):
    """torch's fused kernels on a CPU pair gradients with parameters by their places in memory."""
    moved = []
    for laid_out in (torch.Tensor.contiguous, _transposed):
        torch.manual_seed(0)
        module = nn.Linear(4, 3)
        optimizer = getattr(torch.optim, which)(module.parameters(), lr=0.1, fused=True)
        player = Player(module, optimizer)
        for _ in range(3):
            module.weight.grad = laid_out(torch.randn(3, 4))
            module.bias.grad = torch.randn(3)
            player.update()
        moved.append(player.position())
    torch.testing.assert_close(*moved, rtol=0, atol=0)


def test_what_an_optimizer_kept_is_laid_out_as_the_parameter_that_it_is_loaded_for():
    """As where a saved state is from before the parameter lay in memory as it does."""
    moved = []
    for laid_out in (torch.Tensor.contiguous, _transposed):
        torch.manual_seed(0)
        module = nn.Linear(4, 3)
        player = Player(module, torch.optim.Adam(module.parameters(), lr=0.1, fused=True))
        for step in range(4):
            if step == 2:
                state = copy.deepcopy(player.state())
                module.weight.data = laid_out(module.weight.data)
                player.load_state(state)
                kept = player.optimizer.state[module.weight]["exp_avg"]
                assert kept.stride() == module.weight.stride()
            module.weight.grad, module.bias.grad = torch.randn(3, 4), torch.randn(3)
            player.update()
        moved.append(player.position())
    torch.testing.assert_close(*moved)  # the kernel rounds the last few numbers in its own way


class CountsForAll(torch.optim.SGD):
    """SGD that keeps things for all parameters under names in its state, as some optimizers do."""

    def __init__(self, params) -> None:
        super().__init__(params, lr=0.1, momentum=0.9)
        self.state["updates"] = torch.zeros((), dtype=torch.long)
        self.state["total"] = 0
        self.state["means"] = {"gradient": torch.zeros(3, 4)}

    def step(self, closure=None):
        super().step(closure)
        self.state["updates"] += 1
        self.state["total"] += 1
        self.state["means"]["gradient"] += 1


def test_what_an_optimizer_keeps_for_all_parameters_is_loaded_too():
    def player() -> Player:
        torch.manual_seed(0)
        module = nn.Linear(4, 3)
        return Player(module, CountsForAll(module.parameters()))

    trained, resumed = player(), player()
    trained.backward(trained.module(torch.ones(2, 4)).sum())
    trained.update()
    resumed.load_state(copy.deepcopy(trained.state()))
    torch.testing.assert_close(resumed.state(), trained.state(), rtol=0, atol=0)


def test_a_sparse_gradient_reaches_the_optimizer_as_it_is():
    seen = []

    class Looks(torch.optim.SGD):
        def step(self, closure=None):
            seen.append(self.param_groups[0]["params"][0].grad)

    module = nn.Linear(4, 3, bias=False)
    player = Player(module, Looks(module.parameters(), lr=0.1))
    module.weight.grad = gradient = torch.eye(3, 4).to_sparse()
    player.update()
    assert seen[0] is gradient
