"""The figures of benchmarks/peers: what counts as the same work, and how ratios come about."""

from __future__ import annotations

from pathlib import Path

import pytest

PEERS = Path(__file__).resolve().parent.parent / "benchmarks" / "peers"


@pytest.fixture(autouse=True)
def _peers_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(PEERS.parent))
    monkeypatch.syspath_prepend(str(PEERS))


def proofs(**changed: object) -> dict[str, dict[str, object]]:
    """Two contenders at batch 4, of which the second differs in what `changed` says."""
    proof = {
        "g_parameters": 10,
        "d_parameters": 20,
        "d_updates_per_g_update": 1.0,
        "d_examples_per_step": 12.0,
        "g_examples_per_step": 8.0,
        "shares_fakes": False,
        "gflops_per_step": 2.0,
        "d_loss": 1.5,
        "g_loss": 0.5,
    }
    return {"ganbench-fp32": proof, "peer": proof | changed}


@pytest.mark.parametrize(
    "changed",
    [
        {"g_parameters": 11},
        {"d_updates_per_g_update": 2.0},
        {"d_examples_per_step": 8.0},
        {"g_loss": 0.51},
    ],
    ids=str,
)
def test_a_contender_that_does_other_work_is_refused(changed):
    from measure import check_same_work
    from work import Work

    check_same_work(Work("mlp", 4), proofs(shares_fakes=True, gflops_per_step=1.8, g_loss=0.50001))
    with pytest.raises(AssertionError, match="peer: "):
        check_same_work(Work("mlp", 4), proofs(**changed))


def test_a_ratio_is_the_median_of_rounds_of_neighbours_and_a_contender_that_is_absent_says_why():
    from table import ratio_of, render

    # Seconds a step of a peer over those of ganbench beside it. The rounds' medians are 2, 3 and
    # 10, of which 3 is the median; all pairs in one heap would have 2.
    ways = {"fp32": 1.0, "bf16": 0.5, "fp32-fast": 0.8, "bf16-fast": 0.4}
    beside = {f"ganbench-{way}": [seconds, 1.0] for way, seconds in ways.items()}
    beside["handover"] = 1.1
    seconds = [(1.0, 2.0, 2.0, 2.0, 9.0), (3.0,), (10.0,)]
    rounds = [[{"torchgan": [peer, 1.0], **beside} for peer in peers] for peers in seconds]
    apart = {"torchgan": [1.5, 1.0], **beside, "handover": 3.0}
    keys = ["tutorial", "mimicry", "lightning", "tuned-fp32", "tuned-bf16"]
    found = {
        "rounds": rounds,
        "absent": dict.fromkeys(keys, "no wheel"),
        "work": {key: {"gflops_per_step": 6.0} for key in ("torchgan", *beside)},
        "matmul_gflops_per_s": {"fp32": [10.0, 20.0, 90.0], "bf16": [40.0]},
    }
    assert ratio_of(rounds, "torchgan", "fp32") == (3.0, 2.0, 10.0)
    assert ratio_of(rounds, "torchgan", "bf16")[0] == 6.0
    rounds[0] += [apart] * 9
    machine = {"cpu": "C", "threads": 2, "torch": "T", "date": "D"}
    text = render({"machine": machine, "works": {"mlp-64": found, "dcgan-64": {"rounds": []}}})
    row = "| torchgan 0.1.0, Trainer | 0.5 | 1000.0 | 6.00 | 3 | 3.00 (2.00 to 10.00) | 6.00 ("
    assert row in text  # 6 GFLOP in 2 s, the median block
    assert "20 GFLOP/s in fp32, 40 GFLOP/s in bf16; cores shared a cache in 7 of 16 pairs)" in text
    assert "| torch-mimicry 0.1.16, Trainer | not measured: no wheel |" in text
    assert "median of 3 rounds" in text
    assert "fp32: 1.80 × | 3.00 (mlp 64) | 3.75 (mlp 64) | 1.50 (mlp 64, missed) | 1.88 (" in text
    assert "mlp, bf16: 3.00 × | 6.00 (mlp 64) | 7.50 (mlp 64) | 3.00 (mlp 64) |" in text
    assert "| dcgan, " not in text  # no round of it was measured


def test_where_cores_never_share_a_cache_all_pairs_count():
    from table import render

    pair = {"torchgan": [3.0, 1.0], "ganbench-fp32": [1.0, 1.0], "handover": 4.0}
    keys = ["tutorial", "mimicry", "lightning", "tuned-fp32", "tuned-bf16"]
    found = {
        "rounds": [[pair]],
        "absent": dict.fromkeys([*keys, "ganbench-bf16"], "left out"),
        "work": {key: {"gflops_per_step": 6.0} for key in ("torchgan", "ganbench-fp32")},
        "matmul_gflops_per_s": {},
    }
    machine = {"cpu": "C", "threads": 2, "torch": "T", "date": "D"}
    text = render({"machine": machine, "works": {"mlp-64": found}})
    assert "cores shared a cache in 0 of 1 pairs" in text
    assert "| 3.00 (3.00 to 3.00) |" in text
    assert "fp32: 1.80 × | 3.00 (mlp 64) |  | 3.00 (mlp 64) |" in text
    pair["torchgan"] = [1.796, 1.0]
    text = render({"machine": machine, "works": {"mlp-64": found}})
    assert "fp32: 1.80 × | 1.796 (mlp 64, missed) |" in text


def test_blocks_while_cores_share_no_cache_are_made_once_more(monkeypatch):
    import measure
    from work import Work

    class Peer:
        def ask(self, what: str, **_: object) -> dict[str, object]:
            answers = {"set_up": {"work": proofs()["peer"], "torch": "T", "threads": 2}}
            answers["matmul"] = {"gflops_per_s": 1.0}
            return answers.get(what, {"wall_s": 1.0, "cpu_s": 1.0, "steps": 4})

    ratios = iter([1.1, 1.2, 3.0, 1.1, 1.1, 1.3] + [1.0] * 100)  # of four blocks: before, after
    monkeypatch.setattr(measure, "handover_ratio", lambda: next(ratios))
    peers = {key: Peer() for key in ("ganbench-fp32", "ganbench-bf16", "tuned-fp32")}
    found: dict[str, object] = {}
    measure.measure(Work("mlp", 4), peers, {}, block_s=1.0, pairs=2, found=found)
    assert [pair["handover"] for pair in found["rounds"][0]] == [3.0, 1.3, 1.0]


def test_cores_share_a_cache_with_themselves():
    from cores import handover_ratio

    assert 0 < handover_ratio() < 100


def test_a_trainer_timed_through_its_loader_is_timed_for_whole_steps_only(monkeypatch):
    import stopwatch
    from torch.utils.data import DataLoader

    now = iter(range(100))
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: next(now))
    timed = stopwatch.TimedLoader(DataLoader([0, 1, 2], batch_size=1), steps=4)
    assert len(list(timed)) == 5  # more than an epoch, and one batch that is not timed
    assert (timed.block().steps, timed.block().wall_s) == (4, 4)  # one tick between requests
