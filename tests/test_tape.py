"""Steps on a CPU from a tape: where it is used, its operations, and memory that is used again.

That it has the bits of plain steps is in test_graphs.py."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_graphs import MLP, game_of

import ganbench
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.graphs.check import why_not
from ganbench.graphs.memory import Reused, _Block, place
from ganbench.graphs.tape import TapeRecorder
from ganbench.plan import make_plan
from ganbench.spec import RunSpec

ON = {**MLP, "metrics": "none", "device": "cpu", "steps": 12, "tape": "on"}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"steps": 199}, "fewer than 200 steps do not save what recording them takes"),
        (
            {"generator": "dcgan:width=4"},
            "convolutions take so long that a tape would save nothing",
        ),
        ({"tape": "off"}, "switched off"),
        ({"schedule": "linear"}, "schedule 'linear' changes the learning rate"),
    ],
    ids=str,
)
def test_by_default_a_tape_is_used_where_it_helps(registry, settings, reason):
    with game_of(registry, settings) as (spec, game, rule):
        assert reason in why_not(spec, game, rule)
    with game_of(registry, {}) as (spec, game, rule):
        assert why_not(spec, game, rule) is None


def test_compiled_steps_have_no_tape(registry):
    with game_of(registry, {}) as (spec, game, rule):
        compiled = spec.model_copy(update={"compile": True})
        assert "compile is on" in why_not(compiled, game, rule)


@pytest.mark.parametrize("settings", [{"generator": "dcgan:width=4"}, {"opt_d": "lookahead"}])
def test_on_is_refused_with_the_reason(registry, settings):
    on = {**settings, "tape": "on"}
    refused = pytest.raises(IncompatibleParts, match=r"can't be played from a tape: .* Drop --tape")
    with game_of(registry, on) as (spec, game, rule), refused:
        why_not(spec, game, rule)


def test_a_run_has_the_same_weights_and_history_either_way(tmp_path):
    specs = {way: RunSpec(**{**ON, "tape": way}) for way in ("on", "off")}
    records = {way: ganbench.run(spec, tmp_path / way) for way, spec in specs.items()}
    ways = [record.environment["tape"] for record in records.values()]
    assert ways == ["on", "off: switched off"]
    assert records["on"].weights_sha256 == records["off"].weights_sha256
    history = [next((tmp_path / way).rglob("history.csv")).read_text() for way in records]
    assert history[0] == history[1]


def test_on_needs_a_cpu(tmp_path, registry):
    from ganbench.fast import fast_path

    plan = make_plan(RunSpec(**ON), registry)
    with pytest.raises(UsageError, match="tape is on, which is for steps on a CPU"):
        fast_path(plan.spec, torch.nn.Identity(), (1, 28, 28), torch.device("meta"))


def test_the_way_of_playing_does_not_rename_a_run(registry):
    ids = {make_plan(RunSpec(tape=one), registry).run_id for one in ("auto", "on", "off")}
    assert len(ids) == 1


# --- operations ---------------------------------------------------------------------------------


def replayed(step, place):
    """What a step makes of another input when it is played from a tape, and as it is."""
    recording = TapeRecorder().record(lambda: step(place), torch.Generator())
    torch.testing.assert_close(recording.result, step(place), rtol=0, atol=0)
    place.copy_(torch.randn(place.shape))
    recording.play()
    return recording.result, step(place)


def batch_norm(x):
    """An operation that writes to what it is given and has results besides."""
    mean, variance = torch.zeros(4), torch.ones(4)
    out, *_ = torch.ops.aten._native_batch_norm_legit(
        x, None, None, mean, variance, True, 0.1, 1e-5
    )
    return torch.stack([out.sum(), mean.sum(), variance.sum()])


@pytest.mark.parametrize(
    "step",
    [
        lambda x: x.sum() + x.clone().mul_(2).sum(),
        lambda x: x.t().contiguous().flatten().cumsum(0),
        lambda x: torch.stack(torch.aminmax(x)),
        lambda x: torch.cat([one.square() for one in x.split(2)]),
        lambda x: torch.stack(torch._foreach_mul(list(x.unbind()), 2.0)),
        lambda x: x.new_zeros(3).add_(x[0, :3]).double().float(),
        lambda x: torch.full_like(x, 2).mul(x).expand(2, *x.shape).sum((0, 1)),
        lambda x: torch.where(x > 0, x, x.exp()).sort(0).values.sum(),
        lambda x: torch.linalg.svd(x, full_matrices=False).S.sum(),
        batch_norm,
    ],
)
def test_an_operation_is_played_on_what_lies_there_now(step):
    torch.manual_seed(0)
    found, expected = replayed(step, torch.randn(6, 4))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_gradient_is_recorded_without_a_copy():
    """Autograd copies a gradient that somebody else holds too."""
    weight = torch.nn.Parameter(torch.ones(2, 4))

    def step():
        weight.exp().sum().backward()
        norm, weight.grad = weight.grad.norm(), None
        return norm

    recording = TapeRecorder().record(step, torch.Generator())
    names = [str(function) for function, *_ in recording.play.__self__.calls]
    assert any("exp" in name for name in names)
    assert not any("copy" in name or "clone" in name for name in names)


def test_numbers_with_another_sign_than_in_memory_are_refused():
    with pytest.raises(RuntimeError, match="another sign"):
        TapeRecorder().record(lambda: torch.ones(2, dtype=torch.cfloat).conj().mul(1j), None)


# --- memory -------------------------------------------------------------------------------------

BLOCKS = st.builds(
    lambda size, first, length: _Block(64 * size, first, first + length),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 5),
)


@given(st.lists(BLOCKS, max_size=25))
def test_what_is_needed_together_lies_apart(blocks):
    place(blocks)
    for i, one in enumerate(blocks):
        assert one.offset % 64 == 0
        for other in blocks[:i]:
            apart = one.last < other.first or other.last < one.first
            below, above = sorted([one, other], key=lambda block: block.offset)
            if not apart and one.size and other.size:
                assert below.offset + below.size <= above.offset


def test_a_chain_of_results_takes_the_memory_of_two():
    blocks = [_Block(640, call, call + 1) for call in range(20)]
    place(blocks)
    assert max(block.offset + block.size for block in blocks) == 2 * 640


def test_a_tensor_is_the_same_view_of_its_new_place():
    memory = Reused()
    one, other, elsewhere = torch.zeros(3, 4), torch.zeros(5, dtype=torch.bfloat16), torch.zeros(2)
    memory.use(one.t()[1:], 0, 1)
    memory.use(other, 1, 2)
    moved = memory.moved()
    whole, part = moved(one), moved(one.t()[1:])
    whole.copy_(torch.arange(12.0).view(3, 4))
    moved(other).fill_(7)
    torch.testing.assert_close(part, torch.arange(12.0).view(3, 4).t()[1:])
    assert part.stride() == one.t()[1:].stride()
    assert moved(elsewhere) is elsewhere
    assert not one.any()
