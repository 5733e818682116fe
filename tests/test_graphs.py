"""Steps that are recorded and launched as a whole: the bits of plain ones, or a reason why not.

On a CPU tapes record them, and a stand-in with a CUDA graph's rules; with a GPU, CUDA graphs do.
"""

from __future__ import annotations

from contextlib import closing, contextmanager

import pytest
import torch
from stand_in import GraphStandIn

import ganbench
from ganbench.checkpoint import load_checkpoint, save_checkpoint, weights_sha256
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.feed import Feed
from ganbench.game import build_game
from ganbench.graphs.check import difference, obstacle, why_not
from ganbench.graphs.rule import WARMUP_STEPS, GraphedRule
from ganbench.graphs.tape import TapeRecorder
from ganbench.plan import make_plan
from ganbench.spec import RunSpec
from ganbench.streams import isolated
from ganbench.training import Training

MLP = {
    "data": "fashion-mnist-10k",
    "generator": "mlp:hidden=[8]",
    "discriminator": "mlp:hidden=[8]",
    "batch_size": 4,
    "z_dim": 3,
    "seed": 3,
}
DCGAN = {"generator": "dcgan:width=4", "discriminator": "dcgan:width=4"}
POINTS = {"data": "ring8"}
ENERGY = {"generator": "autoencoder:width=4", "discriminator": "autoencoder:width=4"}
GRAPHS = [
    {},
    {"opt": "sgd"},
    {"opt": "adamw"},
    {"opt": "omd"},
    {"opt": "optimistic-adam"},
    {"opt": "muon"},
    {"loss": "hinge"},
    {"loss": "ralsgan"},
    {"loss": "f-gan"},
    {"loss": "mmd"},
    {"loss": "nonsat+l1:weight=10"},
    {"loss": "nonsat+r1:gamma=1"},
    {"loss": "wgan+wgan-gp"},
    {"loss": "wgan+clip"},
    {"loss": "nonsat+dragan"},
    {"loss": "nonsat+ortho"},
    {"loss": "nonsat+consensus"},
    {"loss": "nonsat+instance-noise"},
    {"loss": "nonsat+r1:gamma=1,every=2", "n_dis": 2},  # each step has one of either kind
    {"n_dis": 3},
    {"micro_batch_size": 3},
    {"rule": "simultaneous"},
    {"rule": "joint"},
    {"rule": "extragradient"},
    {"rule": "extragradient:batches=2", "opt": "sgd"},
    {"rule": "extragradient-past"},
    {"ema_halflife_kimg": 0.1},
    {"ema_halflife_kimg": float("inf")},
    {"share_latents": True, "joint_batch": True},
    {"precision": "bf16"},
    {"feed": "prefetch"},
    {"feed": "prefetch", "n_dis": 2, "micro_batch_size": 3},
    {**POINTS, "loss": "nonsat+r1:gamma=1"},
    {**POINTS, "feed": "prefetch"},
    {**DCGAN, "channels_last": True},
    {"generator": "dcgan:width=4", "discriminator": "dcgan:width=4,spectral_norm=true"},
    {**ENERGY, "loss": "began"},
]
PLAIN = [
    ({"schedule": "linear"}, "schedule 'linear' changes the learning rate"),
    ({"precision": "fp16"}, "precision fp16"),
    ({"batch_size": "full", "micro_batch_size": 5000}, "batch_size is full"),
    ({"rule": "lookahead-minimax"}, "rule 'lookahead-minimax' does not say"),
    ({"rule": "unrolled:k=1", "opt": "sgd"}, "rule 'unrolled:k=1' does not say"),
    ({"rule": "extragradient:batches=1"}, "rule 'extragradient:batches=1' does not say"),
    ({"loss": "nonsat+r1:gamma=1,every=2"}, "loss/r1/updates is on the host and changes"),
    ({"loss": "nonsat+instance-noise:anneal=9"}, "loss/instance-noise/updates is on the host"),
    ({**DCGAN, "loss": "nonsat+ada"}, "loss/ada/"),
    ({"opt_d": "lookahead"}, "discriminator/optimizer/own/steps is on the host"),
    ({"opt_g": "lbfgs"}, "opt_g 'lbfgs' reads the loss"),
]


RECORDERS = pytest.mark.parametrize(
    "recorder", [TapeRecorder(), GraphStandIn()], ids=["tape", "graph"]
)


@contextmanager
def game_of(registry, settings, device="cpu"):
    """The spec, its game and its rule."""
    plan = make_plan(RunSpec(**{"device": device, **MLP, **settings}), registry)
    with isolated(), closing(build_game(plan, plan.data.create(None), torch.device(device))) as it:
        yield plan.spec, it, plan.rule.create()


@RECORDERS
@pytest.mark.parametrize("settings", GRAPHS, ids=str)
def test_recorded_steps_have_the_bits_of_plain_ones(registry, settings, recorder):
    with game_of(registry, settings) as (spec, game, rule):
        assert obstacle(spec, game, rule) is None
        assert difference(spec, game, rule, recorder) is None


@RECORDERS
@pytest.mark.parametrize(("settings", "reason"), PLAIN, ids=str)
def test_what_can_t_be_one_graph_has_a_reason(registry, settings, reason, recorder):
    with game_of(registry, settings) as (spec, game, rule):
        found = obstacle(spec, game, rule) or difference(spec, game, rule, recorder)
        assert reason in (found or "nothing")


def trained(registry, settings, recorder=None, state=None, steps=12):
    with game_of(registry, settings) as (_, game, rule):
        rule = rule if recorder is None else GraphedRule(rule, recorder)
        training = Training(game, rule, steps, warmup_steps=1)
        if state is not None:
            training.load_state(state)
        training.run(
            stop=lambda: False,
            on_chunk=lambda snapshot: None,
            checkpoint_every=0,
            on_checkpoint=lambda: None,
        )
        return training


@RECORDERS
@pytest.mark.parametrize("change", [{}, {"n_dis": 2}, {"rule": "extragradient-past"}], ids=str)
def test_a_training_has_its_history_and_weights_and_stops_and_goes_on(
    registry, change, tmp_path, recorder
):
    plain = trained(registry, change)
    recorded = trained(registry, change, recorder)
    half = trained(registry, change, recorder, steps=7)
    save_checkpoint(tmp_path, 7, half.state())
    resumed = trained(registry, change, recorder, load_checkpoint(tmp_path))
    for one in (recorded, resumed):
        assert one.history.rows[-5:] == plain.history.rows[-5:]
        assert weights_sha256(one.game.networks) == weights_sha256(plain.game.networks)
        assert (one.game.step, one.game.nimg) == (plain.game.step, plain.game.nimg)


@RECORDERS
def test_a_recording_that_is_not_the_step_is_found(registry, recorder, monkeypatch):
    record = type(recorder).record

    def rigged(self, step, generator):
        recording = record(self, step, generator)
        del recording.play.__self__.calls[:40]
        return recording

    monkeypatch.setattr(type(recorder), "record", rigged)
    with game_of(registry, {}) as (spec, game, rule):
        assert "differ from plain ones" in difference(spec, game, rule, recorder)


def stuck(rule):
    """A rule that is not what it says: from its 7th step on D does not move."""
    played = []

    def step(game):
        played.append(None)
        if len(played) < 7:
            return rule(game)
        terms = game.d_gradient(batch := game.draw())
        game.discriminator.optimizer.zero_grad()
        terms |= game.g_gradient(batch)
        game.generator.update()
        return terms

    return step


@RECORDERS
def test_a_rule_whose_steps_are_not_alike_is_found_if_it_says_they_are(registry, recorder):
    with game_of(registry, {}) as (spec, game, rule):
        assert "differ from plain ones" in difference(spec, game, stuck(rule), recorder)


def waiting(rule):
    def step(game):
        terms = rule(game)
        if terms["d_nonsat"] > 1e9:
            raise AssertionError
        return terms

    return step


@RECORDERS
def test_a_step_that_waits_for_the_device_is_found(registry, recorder):
    with game_of(registry, {}) as (spec, game, rule):
        found = difference(spec, game, waiting(rule), recorder)
        assert found == "a step waits for the device (_local_scalar_dense waits for the device)"


class Counts:
    """A loss that counts its calls without saying so in its state, and changes in the end."""

    def __init__(self, loss, keep):
        self.loss, self.keep = loss, keep
        self.calls = self.counter() if keep == "closure" else None
        self.kept = {"calls": 0} if keep == "dict" else []

    def counter(self):
        calls = 0

        def count():
            nonlocal calls
            calls += 1
            return calls

        return count

    def d_loss(self, discriminator, x_real, x_fake):
        if self.keep == "closure":
            self.calls()
        elif self.keep == "dict":
            self.kept["calls"] += 1
        else:
            self.kept.append(1)
        return self.loss.d_loss(discriminator, x_real, x_fake)

    def __getattr__(self, name):
        return getattr(self.loss, name)


@pytest.mark.parametrize(
    ("keep", "what"), [("closure", "calls"), ("dict", "kept.calls"), ("list", "kept.")]
)
def test_a_count_that_is_not_in_a_loss_s_state_is_found(registry, keep, what):
    with game_of(registry, {}) as (spec, game, rule):
        game.loss = game.objective.loss = Counts(game.loss, keep)
        found = difference(spec, game, rule, GraphStandIn())
        assert f"loss.{what}" in found


@pytest.mark.parametrize("owner", ["optimizer", "module"])
def test_a_count_of_an_optimizer_or_a_network_is_found(registry, owner, monkeypatch):
    with game_of(registry, {}) as (spec, game, rule):
        counting = getattr(game.discriminator, owner)
        counting.calls = 0

        def counted(game):
            counting.calls += 1
            return rule(game)

        assert "calls is on the host and changes" in difference(spec, game, counted, GraphStandIn())


def test_without_cuda_steps_are_plain_and_the_record_says_why(registry, tmp_path):
    settings = {**MLP, "steps": 4, "metrics": "none", "device": "cpu"}
    whys = {"auto": "off: needs a CUDA device", "off": "off: switched off"}
    for choice, why in whys.items():
        record = ganbench.run(RunSpec(**settings, cuda_graph=choice), tmp_path / choice)
        assert record.environment["cuda_graph"] == why
    with pytest.raises(UsageError, match=r"cuda_graph is on, which needs a CUDA device.*'cpu'"):
        ganbench.run(RunSpec(**settings, cuda_graph="on"), tmp_path / "on")
    assert not list((tmp_path / "on").rglob("record.json"))


def test_the_way_of_launching_does_not_rename_a_run(registry):
    ids = {make_plan(RunSpec(cuda_graph=one), registry).run_id for one in ("auto", "on", "off")}
    assert len(ids) == 1


def test_groups_of_optimizers_are_as_they_were_after_recording(registry):
    with game_of(registry, {}) as (_, game, rule):
        graphed = GraphedRule(rule, GraphStandIn())
        for _ in range(WARMUP_STEPS + 1):
            game.play(graphed)
        groups = [group for one in game.players for group in one.optimizer.param_groups]
        assert [group["capturable"] for group in groups] == [False, False]
        assert isinstance(game.feed, Feed)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("settings", GRAPHS, ids=str)
def test_cuda_graphs_have_the_bits_of_plain_steps(registry, settings):
    with game_of(registry, settings, "cuda") as (spec, game, rule):
        assert why_not(spec, game, rule) is None


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize(("settings", "reason"), PLAIN, ids=str)
def test_on_cuda_what_can_t_be_one_graph_has_a_reason_and_on_is_refused(registry, settings, reason):
    with game_of(registry, settings, "cuda") as (spec, game, rule):
        assert reason in (why_not(spec, game, rule) or "nothing")
    on = {**settings, "cuda_graph": "on"}
    refused = pytest.raises(IncompatibleParts, match="a step can't be one CUDA graph")
    with game_of(registry, on, "cuda") as (spec, game, rule), refused:
        why_not(spec, game, rule)


@pytest.mark.gpu
@needs_cuda
def test_on_cuda_a_run_has_the_same_weights_and_metrics_either_way(tmp_path):
    settings = {**MLP, "steps": 40, "eval_every": 15, "n_samples": 200, "device": "cuda"}
    records = [
        ganbench.run(RunSpec(**settings, cuda_graph=choice), tmp_path / choice)
        for choice in ("on", "off", "auto")
    ]
    assert [one.environment["cuda_graph"] for one in records] == ["on", "off: switched off", "on"]
    assert len({one.weights_sha256 for one in records}) == 1
    assert records[0].evaluations[0].values == records[1].evaluations[0].values
