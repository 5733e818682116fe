"""Players whose optimizer keeps an average of its own."""

from __future__ import annotations

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
