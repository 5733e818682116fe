"""`ganbench profile`: a step's parts, what watching leaves alone, and what was tried."""

from __future__ import annotations

import json

import pytest
import torch

from ganbench.builtin import ganbench_rules
from ganbench.flops import flop_counter
from ganbench.plan import make_plan
from ganbench.profiling.ledger import Ledger
from ganbench.profiling.profile import profile
from ganbench.profiling.seams import PARTS, watched
from ganbench.profiling.trials import Trial, changes, hint_of
from ganbench.spec import RunSpec

B, Z, H = 16, 4, 8
# On ring8, points in the plane: G is 4 -> 8 -> 2, D is 2 -> 8 -> 1.
SMALL = {
    "data": "ring8",
    "generator": f"mlp:hidden=[{H}]",
    "discriminator": f"mlp:hidden=[{H}]",
    "batch_size": B,
    "z_dim": Z,
    "metrics": (),
    "threads": 1,
    "device": "cpu",
}
D_PASS = 2 * B * (2 * H + H * 1)
G_PASS = 2 * B * (Z * H + H * 2)


def flops_of(play, **settings) -> dict[str, float]:
    game, rule = play(**SMALL, **settings)
    game.play(rule)
    with flop_counter() as counter:
        ledger = Ledger(counter.get_total_flops)
        with watched(game, ledger):
            ledger.open()
            game.play(rule)
            ledger.close()
    assert sum(ledger.gained.values()) == counter.get_total_flops()
    return {part: flops for part, flops in ledger.gained.items() if flops}


def test_a_part_counts_what_its_inner_parts_leave_and_all_add_up():
    now = iter([0, 1, 3, 6, 10, 15])  # gains 1, 2, 3, 4, 5 between readings
    ledger = Ledger(lambda: next(now))
    ledger.open()
    with ledger.part("outer"), ledger.part("inner"):
        pass
    ledger.close()
    # open 0; outer enters at 1; inner from 3 to 6; outer leaves at 10; closed at 15
    assert ledger.gained == {"rest": 1 + 5, "outer": 2 + 4, "inner": 3}


def test_a_closed_ledger_counts_nothing_and_a_failing_body_is_counted():
    now = iter(range(10))
    ledger = Ledger(lambda: next(now))
    with ledger.part("early"):
        pass
    assert ledger.gained == {}
    ledger.open()
    with pytest.raises(KeyError), ledger.part("failing"):
        raise KeyError
    ledger.close()
    assert ledger.gained == {"rest": 2, "failing": 1}


def test_the_operations_of_each_part_are_those_of_its_matrices(play):
    # A backward pass costs two products a layer, but one for the first layer of a player whose
    # input needs no gradient. In G's turn D is frozen: only the gradient by its input is left.
    first_of_d, first_of_g = 2 * B * 2 * H, 2 * B * Z * H
    assert flops_of(play) == {
        "forward G": 2 * G_PASS,
        "forward D, real": D_PASS,
        "forward D, fake": 2 * D_PASS,
        "backward, D": 2 * (2 * D_PASS - first_of_d),
        "backward, G": D_PASS + 2 * G_PASS - first_of_g,
    }


def test_penalties_are_told_from_the_passes_on_real_and_generated_examples(play):
    found = flops_of(play, loss="wgan+wgan-gp")
    assert found["forward D, other inputs"] == D_PASS  # on the interpolated examples
    assert found["forward D, real"] == D_PASS
    assert found["backward, inside the loss"] > 0


def test_low_precision_does_not_hide_which_examples_are_generated(play):
    found = flops_of(play, precision="bf16")
    assert found["forward D, fake"] == 2 * found["forward D, real"] == 2 * D_PASS
    assert "forward D, other inputs" not in found


def test_one_batch_of_reals_and_fakes_is_a_part_of_its_own_and_shared_fakes_are_drawn_once(play):
    found = flops_of(play, joint_batch=True, share_latents=True)
    assert found["forward D, real and fake at once"] == 2 * D_PASS
    assert found["forward D, fake"] == D_PASS  # in G's turn
    assert found["forward G"] == G_PASS


@pytest.mark.parametrize("rule", [*ganbench_rules()])
def test_every_rule_can_be_watched_and_trains_as_if_it_were_not(play, rule):
    positions = []
    for watch in (False, True):
        game, step = play(**SMALL, rule=rule)
        ledger = Ledger(lambda: 0.0)
        for _ in range(3):
            if not watch:
                game.play(step)
                continue
            with watched(game, ledger):
                ledger.open()
                game.play(step)
                ledger.close()
        positions.append(game.generator.position() + game.discriminator.position())
    assert all(torch.equal(a, b) for a, b in zip(*positions, strict=True))
    # One gradient of both losses is G's, by the code that computes it.
    expected = {"data", "forward G", "backward, G", "optimizer, G", "optimizer, D", "rest"}
    assert expected <= ledger.gained.keys()
    assert ledger.gained.keys() <= set(PARTS)


def test_watching_leaves_no_trace_on_the_game(play):
    game, rule = play(**SMALL)
    owners = (game.feed, game.objective, game.discriminator, game.generator)
    before, grad = [{**vars(owner)} for owner in owners], torch.autograd.grad
    with watched(game, Ledger(lambda: 0.0)):
        game.play(rule)
    for owner, attributes in zip(owners, before, strict=True):
        assert vars(owner).keys() == attributes.keys()
    assert vars(game.objective)["loss"] is before[1]["loss"]
    assert torch.autograd.grad is grad
    for player in game.players:
        assert not player.module._forward_hooks
        assert not player.module._forward_pre_hooks


def test_the_parts_of_a_profile_add_up_to_the_step(registry):
    made = profile(make_plan(RunSpec(**SMALL), registry), registry, trials_s=0)
    assert sum(part.ms for part in made.parts) == pytest.approx(made.ms_per_step)
    assert sum(part.share for part in made.parts) == pytest.approx(1)
    assert sum(part.gflops for part in made.parts) == pytest.approx(made.gflops_per_step)
    assert all(part.ms > 0 for part in made.parts)
    # 4 bytes a number; Adam keeps two numbers a parameter, and a step count a tensor of 4 bytes
    d_parameters = (2 * H + H) + (H * 1 + 1)
    assert made.memory_mb["parameters, D"] == pytest.approx(4e-6 * d_parameters)
    assert made.memory_mb["optimizer, D"] == pytest.approx(4e-6 * (2 * d_parameters + 4))
    assert made.trials == ()
    assert made.hint is None


def test_a_step_that_a_run_plays_as_a_whole_is_timed_so_too(registry):
    found = {
        way: profile(make_plan(RunSpec(**SMALL, tape=way), registry), registry, trials_s=0)
        for way in ("auto", "off")
    }
    assert found["off"].whole_ms_per_step is None
    assert 0 < found["auto"].whole_ms_per_step < 1000


def test_a_hint_is_the_largest_gain_that_was_played():
    trials = [
        Trial({"threads": 1}, "--threads 1", 0.8, 0.7, 0.9, 7),
        Trial({"precision": "bf16"}, "--precision bf16", 1.9, 1.8, 2.0, 7),
        Trial({"batch_size": 256}, "--batch-size 256", 1.2, 1.1, 1.3, 7),
        Trial({"compile": True}, "--compile", reason="no compiler"),
    ]
    assert hint_of(trials).startswith("--precision bf16 makes 1.90 times as many images")


def test_a_gain_within_the_noise_is_no_hint():
    trials = [Trial({"precision": "bf16"}, "--precision bf16", 1.2, 0.9, 1.5, 7)]
    assert hint_of(trials) == "none of what was tried is faster here (tried: --precision bf16)"


def test_only_settings_that_differ_from_the_given_ones_are_tried():
    cpu = torch.device("cpu")
    tried = list(changes(RunSpec(batch_size=32, precision="bf16", threads=1), cpu))
    assert {"batch_size": 64} in tried
    assert not [change for change in tried if "precision" in change]
    assert {"precision": "bf16"} in list(changes(RunSpec(), cpu))
    assert {"share_latents": True} in list(changes(RunSpec(), cpu))
    assert {"share_latents": True} not in list(changes(RunSpec(share_latents=True), cpu))
    assert {"compile": True} not in list(changes(RunSpec(), cpu, seconds=8))
    assert not [
        change for change in changes(RunSpec(batch_size="full"), cpu) if "batch_size" in change
    ]


FLAGS = (
    *("--data", "ring8", "--generator", f"mlp:hidden=[{H}]"),
    *("--discriminator", f"mlp:hidden=[{H}]", "--batch-size", B, "--threads", 1),
)


def test_the_command_prints_parts_and_a_hint_and_writes_a_trace(ganbench_cli, tmp_path):
    trace = tmp_path / "made" / "trace.json"
    answer = ganbench_cli("profile", *FLAGS, "--try-for", 0.5, "--trace", trace)
    assert answer.code == 0, answer.err
    for line in ("forward D, real", "optimizer, G", "tried       --precision bf16", "hint  "):
        assert line in answer.out
    events = json.loads(trace.read_text())["traceEvents"]
    ranges = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    assert ranges.count("step") == 3
    assert {"forward G", "backward, D", "optimizer, D"} <= set(ranges)


def test_json_is_the_profile_and_nothing_else(ganbench_cli):
    answer = ganbench_cli("profile", *FLAGS, "--try-for", 0, "--json")
    made = json.loads(answer.out)
    assert made["gflops_per_step"] > 0
    assert made["parts"][0]["name"] == "data"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--loss", "nonsatt"], "did you mean 'nonsat'"),
        (["--trace", "/dev/null/trace.json"], "the trace can't be written to"),
        (["--try-for", "-1"], "--try-for"),
        (["--discriminator", "dcgan"], "dcgan"),
    ],
    ids=str,
)
def test_mistakes_are_explained(ganbench_cli, flags, message):
    answer = ganbench_cli("profile", *FLAGS, "--try-for", 0, *flags)
    assert answer.code in (1, 2)
    assert message in answer.err
    assert "Traceback" not in answer.err
