"""Data that are brought batch by batch: the bits of data that lie on the device, and no thread
left."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loops import SMALL_MLP

import ganbench
from ganbench import devices, prefetch
from ganbench.checkpoint import load_checkpoint, save_checkpoint
from ganbench.errors import UsageError
from ganbench.feed import Feed
from ganbench.prefetch import PrefetchFeed, feed_for, fits
from ganbench.protocols import Data
from ganbench.spec import RunSpec

CPU = torch.device("cpu")


def threads_of_feeds() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("ganbench-feed")]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert threads_of_feeds() == []


def weights(game) -> list[np.ndarray]:
    state = [t for one in game.players for t in one.module.state_dict().values()]
    return [tensor.detach().numpy().copy() for tensor in state]


def assert_same_bits(game, other) -> None:
    for ours, theirs in zip(weights(game), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def images(n: int, lazy: bool = False) -> Data:
    x = torch.randint(256, (n, 3, 4, 4), dtype=torch.uint8, generator=torch.manual_seed(1))
    return Data(x, None, {}, lazy)


@pytest.mark.parametrize("make", [Feed, PrefetchFeed])
def test_both_players_updates_see_a_batch_that_was_made_once(make):
    feed = make(images(20), 8, None, 7, CPU)
    batch = feed.indices(0)
    (first,), (second,) = feed.micro_batches(batch), feed.micro_batches(batch)
    assert first.data_ptr() == second.data_ptr()
    (other,) = feed.micro_batches(feed.indices(8))
    assert other.data_ptr() != first.data_ptr()
    assert not torch.equal(other, first)
    feed.close()


@pytest.mark.parametrize("make", [Feed, PrefetchFeed])
def test_what_one_update_does_to_its_batch_is_not_seen_by_the_next(make):
    feed = make(images(20), 8, None, 7, CPU)
    batch = feed.indices(0)
    (first,) = feed.micro_batches(batch)
    as_drawn = first.clone()
    first.requires_grad_()  # as a gradient penalty may do
    (second,) = feed.micro_batches(batch)
    assert not second.requires_grad
    second.mul_(0.5)
    (third,) = feed.micro_batches(batch)
    assert torch.equal(third, as_drawn)
    feed.close()


@given(
    n=st.integers(1, 40),
    batch=st.one_of(st.integers(1, 40), st.just("full")),
    micro=st.one_of(st.none(), st.integers(1, 9)),
    asked=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), max_size=8),
    channels_last=st.booleans(),
    permuted=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_batch_is_that_of_a_resident_feed_in_any_order(
    n, batch, micro, asked, channels_last, permuted
):
    batch = min(batch, n) if batch != "full" else batch
    x = images(n).x
    if permuted:  # as a file of N×H×W×C images is seen
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    resident, ahead = (
        make(Data(x), batch, micro, 7, CPU, channels_last) for make in (Feed, PrefetchFeed)
    )
    position = 0
    try:
        for jump, times in asked:
            position += jump * resident.batch_size
            here, there = resident.indices(position), ahead.indices(position)
            assert torch.equal(here, there)
            assert torch.equal(resident.examples(here), ahead.examples(there))
            for rows in [None, *[lambda m: slice(m // 2, m)] * (times - 1)]:
                pieces = resident.micro_batches(here, rows), ahead.micro_batches(there, rows)
                for ours, theirs in zip(*pieces, strict=True):
                    assert torch.equal(ours, theirs)
                    assert ours.stride() == theirs.stride()
    finally:
        ahead.close()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"n_dis": 3},
        {"micro_batch_size": 3},
        {"batch_size": 4000, "micro_batch_size": 900},  # crosses an epoch in each third step
        {"rule": "extragradient:batches=2"},
        {"data": "ring8", "generator": "mlp:hidden=[8]", "loss": "nonsat+r1:gamma=1"},
        {"loss": "wgan+wgan-gp", "channels_last": True},
    ],
    ids=str,
)
def test_a_game_has_the_bits_of_one_whose_data_are_resident(play, change):
    settings = {**SMALL_MLP, **change}
    games = []
    for feed in ("resident", "prefetch"):  # one after the other: penalties draw from one stream
        game, rule = play(**settings, feed=feed)
        for _ in range(5):
            game.play(rule)
        games.append(game)
    resident, ahead = games
    assert (resident.feed.kind, ahead.feed.kind) == ("resident", "prefetch")
    assert_same_bits(resident, ahead)
    ahead.close()


def test_a_continuation_has_the_bits_of_a_game_that_never_stopped(play, tmp_path):
    game, rule = play(**SMALL_MLP, feed="prefetch")
    for _ in range(3):
        game.play(rule)
    save_checkpoint(tmp_path, 3, game.state())
    other, _ = play(**SMALL_MLP, feed="prefetch")
    other.play(rule)  # it may have brought what is no longer next
    other.load_state(load_checkpoint(tmp_path))
    for _ in range(3):
        game.play(rule)
        other.play(rule)
    assert_same_bits(game, other)
    for one in (game, other):
        one.close()


def test_the_next_batch_comes_while_the_present_one_is_at_work():
    feed = PrefetchFeed(images(20), 5, None, 0, CPU)
    list(feed.micro_batches(feed.indices(0)))
    assert list(feed._pieces) == [(0, 0), (5, 0)]
    following = feed._pieces[5, 0]
    (x,) = feed.micro_batches(feed.indices(5))
    assert torch.equal(following.result().x, feed.examples(feed.indices(5)))
    assert len(x) == 5
    feed.close()


def test_a_feed_that_settled_has_nothing_on_its_way(monkeypatch):
    gather, go_on = prefetch._gather, threading.Event()

    def slowly(*args):
        go_on.wait(120)
        gather(*args)

    feed = PrefetchFeed(images(20), 5, None, 0, CPU)
    list(feed.micro_batches(feed.indices(0)))
    feed.settle()
    monkeypatch.setattr(prefetch, "_gather", slowly)
    list(feed.micro_batches(feed.indices(5)))  # was on its way; the next is not done yet
    assert not feed._pieces[10, 0].done()
    threading.Timer(0.05, go_on.set).start()
    feed.settle()
    assert feed._pieces[10, 0].done()
    feed.close()


def test_only_a_few_pieces_are_kept():
    feed = PrefetchFeed(images(40), 4, None, 0, CPU)
    for position in range(0, 80, 4):
        list(feed.micro_batches(feed.indices(position)))
        assert len(feed._pieces) <= 3
    feed.close()


def test_points_that_a_player_writes_into_are_whole_when_they_are_asked_for_again():
    feed = PrefetchFeed(Data(torch.arange(8.0).reshape(4, 2)), 4, None, 0, CPU)
    batch = feed.indices(0)
    (first,) = feed.micro_batches(batch)
    before = first.clone()
    first.zero_()
    (second,) = feed.micro_batches(batch)
    assert torch.equal(second, before)
    feed.close()


def test_an_error_while_a_batch_is_gathered_reaches_the_step_that_needs_it(monkeypatch):
    def broken(*args):
        raise OSError("the disk is gone")

    feed = PrefetchFeed(images(20), 5, None, 0, CPU)
    list(feed.micro_batches(feed.indices(0)))
    list(feed.micro_batches(feed.indices(5)))
    monkeypatch.setattr(prefetch, "_gather", broken)
    list(feed.micro_batches(feed.indices(10)))  # was brought before
    with pytest.raises(OSError, match="the disk is gone"):
        list(feed.micro_batches(feed.indices(15)))
    feed.close()


def test_a_feed_that_nobody_closes_takes_its_thread_along():
    feed = PrefetchFeed(images(20), 5, None, 0, CPU)
    list(feed.micro_batches(feed.indices(0)))
    (thread,) = threads_of_feeds()
    del feed
    thread.join(timeout=120)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("free", "lazy", "expected"),
    [
        (96 * 2, False, True),  # in memory, where the players are
        (96 * 2, True, True),  # 2 images of 48 bytes take half of what is free
        (96 * 2 - 1, True, False),
        (0, False, True),
    ],
)
def test_data_fit_if_they_are_there_or_take_half_of_the_free_memory(
    monkeypatch, free, lazy, expected
):
    monkeypatch.setattr(devices, "free_memory_bytes", lambda device: free)
    data = images(2, lazy)
    assert data.x.nbytes == 96
    assert fits(data, CPU) is expected
    feed = feed_for(RunSpec(batch_size=1), data, CPU)
    assert isinstance(feed, PrefetchFeed) is not expected
    feed.close()


def test_data_for_another_device_fit_by_its_free_memory(monkeypatch):
    monkeypatch.setattr(devices, "free_memory_bytes", lambda device: 191)
    assert not fits(images(2), torch.device("cuda"))
    monkeypatch.setattr(devices, "free_memory_bytes", lambda device: 192)
    assert fits(images(2), torch.device("cuda"))


def test_free_memory_is_what_the_system_says_is_available(monkeypatch):
    import psutil

    said = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: said)
    assert devices.free_memory_bytes(CPU) == said.available


@pytest.mark.parametrize("end", ["completed", "diverged", "failed"])
def test_a_run_ends_alike_either_way_and_leaves_no_thread(tmp_path, end):
    settings = {**SMALL_MLP, "steps": 12, "metrics": "none", "device": "cpu"}
    if end == "diverged":
        settings |= {"opt": "sgd:lr=1e30"}
    if end == "failed":
        settings |= {"batch_size": 10_001}
        for feed in ("resident", "prefetch"):
            with pytest.raises(UsageError, match="batch_size is 10001"):
                ganbench.run(RunSpec(**settings, feed=feed), tmp_path / feed)
        return
    records = [
        ganbench.run(RunSpec(**settings, feed=feed), tmp_path / feed)
        for feed in ("resident", "prefetch")
    ]
    resident, ahead = records
    assert [one.status for one in records] == [end, end]
    assert resident.run_id == ahead.run_id
    assert resident.weights_sha256 == ahead.weights_sha256
    assert [one.environment["feed"] for one in records] == ["resident", "prefetch"]


def test_vectorized_seeds_refuse_to_prefetch(ganbench_cli, tmp_path):
    answer = ganbench_cli(
        *("run", "--seeds", "0,1", "--vectorize", "--feed", "prefetch", "--out", tmp_path)
    )
    assert answer.code == 2
    assert "vectorize and feed=prefetch do not go together" in answer.err


def test_an_unknown_feed_is_refused_with_what_there_is(ganbench_cli, tmp_path):
    answer = ganbench_cli("run", "--feed", "stream", "--out", tmp_path)
    assert answer.code == 2
    assert "feed is 'stream', but must be 'auto', 'resident' or 'prefetch'" in answer.err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(
    "change",
    [{}, {"n_dis": 3}, {"micro_batch_size": 3}, {"channels_last": True}, {"data": "ring8"}],
    ids=str,
)
def test_on_a_gpu_batches_from_pinned_memory_have_the_bits_of_resident_ones(registry, change):
    from ganbench.game import build_game
    from ganbench.plan import make_plan
    from ganbench.streams import isolated

    games = []
    for feed in ("resident", "prefetch"):
        plan = make_plan(
            RunSpec(**{**SMALL_MLP, **change, "device": "cuda", "feed": feed}), registry
        )
        with isolated():
            game = build_game(plan, plan.data.create(None), torch.device("cuda"))
            rule = plan.rule.create()
            terms = [game.play(rule) for _ in range(50)]
        games.append((game, terms))
    (resident, ours), (ahead, theirs) = games
    assert ours == theirs
    for one, other in zip(resident.players, ahead.players, strict=True):
        for a, b in zip(one.parameters, other.parameters, strict=True):
            assert torch.equal(a, b)
    ahead.close()
