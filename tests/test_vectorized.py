"""Several seeds at once: each ends where its own run ends, to rounding."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import torch

import ganbench
from ganbench.builtin.losses.classic import nonsat
from ganbench.builtin.networks import mlp
from ganbench.errors import UsageError
from ganbench.game import Game, build_game
from ganbench.plan import make_plan
from ganbench.spec import RunSpec
from ganbench.store import run_vectorized
from ganbench.streams import isolated
from ganbench.vectorize.check import verify, why_no_tape
from ganbench.vectorize.game import build_vector_game
from ganbench.vectorize.stacked import Stacked

CPU = torch.device("cpu")
SEEDS = [0, 3, 5]
SMALL: dict[str, Any] = {
    "generator": "mlp:hidden=[16]",
    "discriminator": "mlp:hidden=[16]",
    "z_dim": 4,
    "data": "ring8:n=400",
    "metrics": "none",
    "steps": 6,
    "batch_size": 33,
    "device": "cpu",
    "threads": 1,
}
AUTOENCODER = {
    "data": "fashion-mnist-10k",
    "discriminator": "autoencoder:width=2,embedding=4",
    "batch_size": 8,
}
LOSSES: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("minimax", "nonsat", "lsgan", "hinge", "f-gan")},
    **{name: {} for name in ("rpgan", "ragan", "ralsgan", "mmd")},
    **{f"nonsat+{name}": {} for name in ("r1", "r2", "dragan", "ortho", "instance-noise", "l1")},
    **{f"wgan+{name}": {} for name in ("wgan-gp", "wgan-lp", "clip")},
    **dict.fromkeys(("ebgan", "began"), AUTOENCODER),
}
BLIND_TO_A_SHIFT = ("rpgan", "ragan", "ralsgan", "mmd", "wgan")
OPTIMIZERS = [
    *("sgd:momentum=0.5", "adam", "adamw", "rmsprop:lr=1e-3", "adagrad", "adadelta", "adamax"),
    *("nadam", "radam", "omd", "optimistic-adam", "lookahead"),
]
RULES = [
    *("alternating:n_dis=2", "simultaneous", "extragradient", "extragradient-past"),
    "lookahead-minimax:k=2",
]


def plans(registry, seeds=SEEDS, **settings):
    return [
        make_plan(RunSpec(**{**SMALL, "vectorize": True, **settings, "seed": seed}), registry)
        for seed in seeds
    ]


def positions(game: Game, drop_last_of_d: bool) -> list[torch.Tensor]:
    """Every parameter. D's last bias is left out where the loss does not depend on it: its gradient
    is rounding and nothing else, of which an optimizer that normalises makes steps."""
    d, g = (player.position() for player in game.players)
    return [*(d[:-1] if drop_last_of_d else d), *g]


def check_equal(registry, rtol=1e-3, atol=2e-6, steps=6, **settings) -> None:
    some = plans(registry, **settings)
    data = some[0].data.create(None)
    drop = settings.get("loss", "nonsat").partition("+")[0] in BLIND_TO_A_SHIFT
    with isolated():
        many = build_vector_game(some, data, CPU)
        rule = some[0].rule.create()
        together = [many.play(rule) for _ in range(steps)]
        many.lockstep.close()
    for i, plan in enumerate(some):
        with isolated():
            game = build_game(plan, data, CPU)
            rule = plan.rule.create()
            alone = [game.play(rule) for _ in range(steps)]
        assert together[-1].keys() == alone[-1].keys()
        for name, term in alone[-1].items():
            torch.testing.assert_close(together[-1][name][i], term.float(), rtol=1e-3, atol=1e-5)
        ours, theirs = positions(many, drop), positions(game, drop)
        for mine, its in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine[i], its, rtol=rtol, atol=atol)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_seed_ends_where_its_own_run_does_for_every_loss(registry, loss):
    check_equal(registry, loss=loss, opt="sgd:lr=0.01", steps=4, **LOSSES[loss])


@pytest.mark.parametrize("opt", OPTIMIZERS)
@pytest.mark.parametrize("loss", ["nonsat", "wgan+wgan-gp", "ragan"])
def test_each_seed_ends_where_its_own_run_does_for_every_optimizer(registry, loss, opt):
    check_equal(registry, loss=loss, opt=opt, atol=2e-5)


@pytest.mark.parametrize("rule", RULES)
def test_each_seed_ends_where_its_own_run_does_for_every_rule(registry, rule):
    check_equal(registry, rule=rule, opt="sgd")


def test_micro_batches_of_several_seeds(registry):
    check_equal(registry, opt="sgd", batch_size=40, micro_batch_size=12)


REFUSED = {
    "optimizer 'muon' can't be vectorised": {"opt": "muon"},
    "asks for the loss": {"opt": "lbfgs"},
    "keeps statistics or other state": {
        "data": "fashion-mnist-10k",
        "generator": "dcgan:width=2",
    },
    "another D than D as it is": {"rule": "unrolled"},
    "rule 'joint' can't be vectorised": {"rule": "joint"},
    "penalises both players' gradients at once": {"loss": "nonsat+consensus"},
    "discriminator 'mlp:hidden=[16],spectral_norm=true' keeps": {
        "discriminator": "mlp:hidden=[16],spectral_norm=true"
    },
    "vectorize and precision=fp16 do not go together": {"precision": "fp16"},
    "vectorize and checkpoint_every": {"checkpoint_every": 2},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_vectorised_is_refused_with_the_reason(registry, tmp_path, message):
    with pytest.raises(UsageError) as refusal:
        run_vectorized(plans(registry, **REFUSED[message]), tmp_path / "r")
    assert message in str(refusal.value)
    assert not (tmp_path / "r").exists()


def test_a_loss_that_takes_another_path_for_one_seed_is_refused(registry, monkeypatch):
    class Fickle:
        """Scores once more where a value says so."""

        def __init__(self) -> None:
            self.inner = nonsat()

        def d_loss(self, discriminator, x_real, x_fake):
            if int(x_real[0, 0].item() * 1e4) % 2:
                discriminator(x_real)
            return self.inner.d_loss(discriminator, x_real, x_fake)

        def g_loss(self, discriminator, x_real, x_fake):
            return self.inner.g_loss(discriminator, x_real, x_fake)

    some = plans(registry, seeds=range(8))
    data = some[0].data.create(None)
    monkeypatch.setattr("ganbench.plan.Part.create", _creating(Fickle))
    with pytest.raises(UsageError, match="another path for one seed"):
        verify(some, data, CPU)


def test_a_network_that_mixes_the_seeds_is_found_at_the_first_step(registry, monkeypatch):
    """A planted mistake: each seed gets what another one's networks made."""
    from ganbench.vectorize.stacked import Stacked

    forward = Stacked.forward
    some = plans(registry)
    data = some[0].data.create(None)
    verify(some, data, CPU)
    monkeypatch.setattr(Stacked, "forward", lambda self, x: forward(self, x).roll(1, 0))
    with pytest.raises(UsageError, match="seed 0 differs from its own run"):
        verify(some, data, CPU)


def test_one_record_a_seed_that_says_which_seeds_it_trained_beside(tmp_path, ganbench_cli):
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    flags += ["--metrics=wasserstein", "--n-samples=200", "--ema-halflife-kimg=0.1"]
    together = ganbench_cli(
        "run", *flags, "--seeds", "0..2", "--vectorize", "--out", tmp_path, "--json"
    )
    assert together.code == 0, together.err
    records = json.loads(together.out)
    assert [record["spec"]["seed"] for record in records] == [0, 1, 2]
    assert all(record["environment"]["vectorized_seeds"] == [0, 1, 2] for record in records)
    assert len({record["throughput"]["peak_memory_mb"] for record in records}) == 1
    alone = json.loads(
        ganbench_cli("run", *flags, "--seeds", "0..2", "--out", tmp_path, "--json").out
    )
    for one, other in zip(records, alone, strict=True):
        assert one["run_id"] != other["run_id"]
        assert one["status"] == other["status"] == "completed"
        assert one["nimg"] == other["nimg"] == 6 * 33
        assert one["evaluated"]["values"] == pytest.approx(other["evaluated"]["values"], rel=1e-3)
    assert len(ganbench.load_records(tmp_path)) == 6
    again = ganbench_cli("run", *flags, "--seeds", "0..2", "--vectorize", "--out", tmp_path)
    assert again.out.count("already done") == 3


def test_a_seed_that_diverges_does_not_take_the_others_with_it(registry, tmp_path, monkeypatch):
    from ganbench.vectorize.game import VectorGame

    play = VectorGame.play

    def poisoned(self, rule):
        if self.step == 3:
            with torch.no_grad():
                next(self.discriminator.module.parameters())[1].fill_(torch.nan)
        return play(self, rule)

    monkeypatch.setattr(VectorGame, "play", poisoned)
    records = [one.record for one in run_vectorized(plans(registry), tmp_path)]
    assert [record.status for record in records] == ["completed", "diverged", "completed"]
    assert records[1].diverged_step == 4


@pytest.mark.parametrize(
    "settings",
    [
        *({"loss": loss, **LOSSES[loss]} for loss in LOSSES if LOSSES[loss] is not AUTOENCODER),
        *({"rule": rule} for rule in RULES if not rule.startswith("lookahead")),
        *({"opt": opt} for opt in ("sgd:momentum=0.5", "omd", "adamw")),
        {"precision": "bf16"},
        {"micro_batch_size": 20},
        {"ema_halflife_kimg": 0.1},
    ],
    ids=str,
)
def test_steps_from_a_tape_have_the_bits_of_plain_ones(registry, settings):
    some = plans(registry, **settings, tape="on")
    assert why_no_tape(some, some[0].data.create(None), CPU) is None


def test_seeds_end_with_the_same_bits_either_way(registry, tmp_path):
    """With a loss that draws from each seed's own random state."""
    found = []
    for way in ("on", "off"):
        some = plans(registry, loss="wgan+wgan-gp", steps=9, tape=way)
        records = [one.record for one in run_vectorized(some, tmp_path / way)]
        found.append([record.weights_sha256 for record in records])
        says = {record.environment["tape"] for record in records}
        assert says == {"on" if way == "on" else "off: switched off"}
    assert found[0] == found[1]


def test_a_tape_for_several_seeds_is_refused_with_its_reason(registry, tmp_path):
    some = plans(registry, loss="nonsat+r1:every=2", tape="on")
    with pytest.raises(UsageError, match="played from a tape: loss/0/r1/updates is on the host"):
        list(run_vectorized(some, tmp_path))
    assert not list(tmp_path.rglob("record.json"))


def test_seed_and_seeds_are_not_given_together(ganbench_cli, tmp_path):
    answer = ganbench_cli("run", "--seed=1", "--seeds=0..2", "--out", tmp_path)
    assert answer.code == 2
    assert "give one of them" in answer.err


def _creating(loss_class: type) -> Any:
    from ganbench.plan import Part

    create = Part.create

    def made(self, *args):
        return loss_class() if self.registered.kind == "loss" else create(self, *args)

    return made


def nodes_of(node):
    found, waiting = set(), [node]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [after for after, _ in node.next_functions]
    return found


@pytest.mark.parametrize("make", [partial(mlp.generator, 4), mlp.discriminator])
def test_layers_that_write_in_place_do_not_copy_when_stacked(make):
    networks = [make((1, 8, 8), hidden=(6, 5)) for _ in SEEDS]
    assert any(getattr(layer, "inplace", False) for layer in networks[0].modules())
    stacked = Stacked(networks, "mlp")
    x = torch.randn(len(SEEDS), 7, *((4,) if "generator" in str(make) else (1, 8, 8)))
    y = stacked(x)
    names = {node.name() for node in nodes_of(y.grad_fn)}
    assert "torch::autograd::CopySlices" not in names
    assert "MulBackward1" not in names  # of torch's own rule for a stacked nn.Linear
    y.sum().backward()
    weights = [p for p in stacked.all if p.ndim == 3]
    assert all(p.mT.is_contiguous() and p.grad.mT.is_contiguous() for p in weights)
    for one, row, network in zip(x, y, networks, strict=True):
        torch.testing.assert_close(row, network(one))
        assert all(getattr(layer, "inplace", True) for layer in network.modules())


def test_layers_that_share_a_weight_share_it_when_stacked():
    networks = []
    for _ in SEEDS:
        network = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(2)))
        network[1].weight = network[0].weight
        networks.append(network)
    x = torch.randn(len(SEEDS), 7, 4)
    for one, row, network in zip(x, Stacked(networks, "tied")(x), networks, strict=True):
        torch.testing.assert_close(row, network(one))


def test_batches_are_scored_without_copies_of_them(registry, monkeypatch):
    """What a loss scores as it was given out is rows of one tensor already."""
    some = plans(registry)
    stacked = []
    stack = torch.stack

    def watched(tensors, *options):
        stacked.append(tensors[0].shape)
        return stack(tensors, *options)

    with isolated():
        game = build_vector_game(some, some[0].data.create(None), CPU)
        monkeypatch.setattr(torch, "stack", watched)
        game.play(some[0].rule.create())
        game.lockstep.close()
    assert stacked
    assert (33, 2) not in stacked
