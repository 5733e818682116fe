"""What is played before a run, and when it need not be."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ganbench import RunSpec
from ganbench.errors import IncompatibleParts
from ganbench.game import build_game
from ganbench.plan import make_plan
from ganbench.protocols import Data
from ganbench.rehearsal import rehearse

SETTINGS = {
    "data": "gaussian:dim=3",  # of this file alone: what is found is kept in the process
    "generator": "mlp:hidden=[5]",
    "discriminator": "mlp:hidden=[5]",
    "device": "cpu",
    "metrics": (),
    "batch_size": 16,
}


@pytest.fixture
def rehearsed(registry):
    """rehearsed(data, **settings) -> what was found, and how many games were built for it."""

    def of(data=None, **settings):
        plan = make_plan(RunSpec(**SETTINGS | settings), registry)
        data = plan.data.create(None) if data is None else data
        built = []

        def build(data):
            built.append(build_game(plan, data, torch.device("cpu")))
            return built[-1]

        found = rehearse(plan, build, lambda *_: None, data, None)
        return found, len(built)

    return of


def test_runs_that_differ_in_their_seed_only_are_rehearsed_once(rehearsed):
    first, built = rehearsed(loss="hinge", seed=0)
    assert built == 1
    again, built = rehearsed(loss="hinge", seed=1)
    assert (again, built) == (first, 0)


@pytest.mark.parametrize("other", [{"loss": "lsgan"}, {"batch_size": 8}, {"opt": "sgd:lr=0.3"}])
def test_any_other_setting_is_rehearsed_for_itself(rehearsed, other):
    rehearsed(loss="hinge")
    assert rehearsed(**{"loss": "hinge"} | other)[1] == 1


@pytest.mark.parametrize(("z_dim", "change"), [(3, lambda x: x[1:]), (4, lambda x: x.repeat(1, 2))])
def test_data_of_another_size_or_shape_under_the_same_settings_are_rehearsed(
    rehearsed, registry, z_dim, change
):
    """As those of a folder that has changed."""
    data = make_plan(RunSpec(**SETTINGS), registry).data.create(None)
    changed = Data(change(data.x), None, data.facts)
    for one, games in ((data, 1), (data, 0), (changed, 1)):
        assert rehearsed(one, loss="wgan", z_dim=z_dim)[1] == games


def test_another_loss_of_the_same_name_is_rehearsed(rehearsed, registry, monkeypatch):
    """As that of a plugin's file, which the same process has loaded anew."""
    rehearsed(loss="lsgan", z_dim=7)
    (lsgan,) = registry._components["loss"]["lsgan"]
    another = dataclasses.replace(lsgan, target=lsgan.factory)
    monkeypatch.setitem(registry._components["loss"], "lsgan", [another])
    assert rehearsed(loss="lsgan", z_dim=7)[1] == 1


def test_parts_that_do_not_fit_are_refused_each_time(rehearsed):
    for _ in range(2):
        with pytest.raises(IncompatibleParts):
            rehearsed(loss="nonsat+diffaug")


def test_the_operations_of_a_step_are_counted(rehearsed):
    # z 2 -> 5 -> 3 and x 3 -> 5 -> 1: 25 and 20 weights, 16 examples, two operations each.
    # G runs forward twice (25 each) and backward once (for weights 25, for hidden values 15).
    # D runs forward three times; backward in its own update for weights of both batches (20 each)
    # and hidden values (5 each), and in G's for the values alone (5 + 15).
    found, _ = rehearsed(loss="nonsat", z_dim=2)
    products = 2 * 25 + (25 + 15) + 3 * 20 + 2 * (20 + 5) + (5 + 15)
    assert found.gflops_per_step == pytest.approx(2 * 16 * products / 1e9)
