"""Statistics over seeds: closed forms, what is refused, what is said, and simulated error rates."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ganbench.errors import UsageError
from ganbench.index import summary_of
from ganbench.record import Evaluated, EvaluatedAt, RunRecord
from ganbench.spec import RunSpec
from ganbench.stats.blocks import blocks_of
from ganbench.stats.cells import cell_table, remarks_on_cells, search_table
from ganbench.stats.intervals import interval_of_median, quantile
from ganbench.stats.pairs import compare_pairs, pairs_for
from ganbench.stats.ranks import friedman, rank, rank_blocks
from ganbench.stats.sample import Sample, sample_of
from ganbench.stats.times import profile_of, time_to_target
from ganbench.stats.words import sentences

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
import statistics_check

INF = math.inf


def run(fid: float | None, *, extractor="fmnist-cnn-v1", sha="ab", way=(), **spec) -> RunRecord:
    """A run with that FID, or one that diverged; `way` are FIDs of evaluations every 10 steps."""
    spec = RunSpec(**{"device": "cpu", "eval_every": 10 if way else 0, **spec})
    evaluated = Evaluated(
        extractor=extractor,
        extractor_sha256=sha * 32,
        preprocessing=None,
        n_real=10,
        n_fake=spec.n_samples,
        values={"fid": fid, "precision": 1 - fid / 100} if fid is not None else {},
        elapsed_s=1.0,
    )
    on_the_way = [
        EvaluatedAt(step=10 * i, nimg=1000 * i, train_s=2.0 * i, values={"fid": value})
        for i, value in enumerate(way, start=1)
    ]
    return RunRecord(
        run_id=f"{spec.loss}-{spec.opt_g}-{spec.opt_d}-{spec.seed}",
        spec=spec,
        spec_sha256="0" * 64,
        status="completed" if fid is not None else "diverged",
        steps_done=1,
        nimg=1,
        evaluated=evaluated if fid is not None else None,
        evaluations=tuple(on_the_way),
    )


def sample(*runs: RunRecord, metric: str = "fid", **options) -> Sample:
    return sample_of(map(summary_of, runs), metric, **options)


def grid(values: dict[str, list[float | None]], **spec) -> list[RunRecord]:
    """A run for each loss and each seed."""
    return [
        run(fid, loss=loss, seed=seed, **spec)
        for loss, fids in values.items()
        for seed, fid in enumerate(fids)
    ]


# Cells


def test_quantiles_are_order_statistics_or_means_of_two():
    # n = 5: 0.25·5 = 1.25 -> 2nd, 0.5·5 = 2.5 -> 3rd, 0.75·5 = 3.75 -> 4th.
    assert [quantile([5, 1, 4, 2, 3], q) for q in (0.25, 0.5, 0.75)] == [2, 3, 4]
    # n = 4: 0.25·4 = 1 -> mean of 1st and 2nd; 2 -> of 2nd and 3rd; 3 -> of 3rd and 4th.
    assert [quantile([1, 2, 3, 4], q) for q in (0.25, 0.5, 0.75)] == [1.5, 2.5, 3.5]
    assert [quantile([1, 2, 3, INF], q) for q in (0.25, 0.5, 0.75)] == [1.5, 2.5, INF]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_the_half_quantile_is_the_median_and_numpys_definition_agrees(values):
    assert quantile(values, 0.5) == pytest.approx(np.median(values), rel=1e-12, abs=1e-9)
    for q in (0.25, 0.75):
        expected = np.quantile(values, q, method="averaged_inverted_cdf")
        assert quantile(values, q) == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_the_interval_of_five_is_from_the_least_to_the_greatest():
    # A resample's median is the least if 3 or more of 5 draws are: P = Σ_{j≥3} C(5,j) 4^(5−j)/5⁵
    # = (10·16 + 5·4 + 1)/3125 = 0.0579 > 0.025.
    assert interval_of_median([3.0, 1.0, 2.0, 5.0, 4.0]) == (1.0, 5.0)
    assert interval_of_median([3.0, 1.0, INF, 5.0, 4.0]) == (1.0, INF)


def test_a_wider_confidence_makes_no_narrower_interval():
    values = np.random.default_rng(0).normal(size=15)
    (low, high), (low90, high90) = (interval_of_median(values, c) for c in (0.95, 0.8))
    assert low <= low90 < high90 <= high
    assert (low, high) != (low90, high90)


def test_four_runs_have_no_interval_and_the_remarks_say_so():
    runs = sample(*grid({"nonsat": [1.0, 2.0, 3.0, 4.0], "hinge": [2.0] * 5}))
    table = cell_table(runs, ["loss"]).set_index("loss")
    assert np.isnan(table.loc["nonsat", "low"])
    assert table.loc["hinge", "low"] == table.loc["hinge", "high"] == 2.0
    assert remarks_on_cells(runs, ["loss"]) == [
        "no interval below 5 runs: nonsat",
        "cells are unequal: the largest has 5 runs; fewer: nonsat (4)",
    ]


def test_diverged_runs_are_the_worst_values_of_their_cell():
    table = cell_table(sample(*grid({"nonsat": [10.0, None, 12.0, None, 11.0]})), ["loss"])
    (row,) = table.to_dict("records")
    assert (row["n"], row["diverged"], row["median"]) == (5, 0.4, 12.0)
    assert math.isnan(row["q75"])  # the 4th of 10, 11, 12, ∞, ∞


def test_a_higher_is_better_metric_is_shown_as_it_is_the_best_first():
    runs = sample(*grid({"nonsat": [40.0] * 3, "hinge": [10.0, 20.0, 30.0]}), metric="precision")
    table = cell_table(runs, ["loss"])
    assert table["loss"].tolist() == ["hinge", "nonsat"]
    assert table["median"].tolist() == pytest.approx([0.8, 0.6])
    assert table.loc[0, "q25"] <= table.loc[0, "median"] <= table.loc[0, "q75"]


def test_opt_is_both_optimizers_together():
    runs = sample(run(1.0, opt="sgd"), run(2.0, opt_g="sgd", opt_d="adam"))
    assert cell_table(runs, ["opt"])["opt"].tolist() == ["sgd", "sgd~adam"]


def test_a_cell_that_mixes_more_than_seeds_is_remarked_on():
    runs = sample(*(run(1.0, opt=opt, seed=s) for opt in ("sgd", "adam") for s in range(5)))
    assert "differ in opt:" in " ".join(remarks_on_cells(runs, ["loss"]))


def test_sensitivity_is_over_the_medians_of_trials():
    fids = {"adam:lr=1e-4": [9, 10, 11], "adam:lr=2e-4": [19, 20, 21], "adam:lr=3e-4": [None] * 3}
    runs = [run(f, opt=opt, seed=s) for opt, of in fids.items() for s, f in enumerate(of)]
    (row,) = search_table(sample(*runs), ["loss"], ["opt"]).to_dict("records")
    assert (row["trials"], row["runs"], row["best"], row["median"]) == (3, 9, 10.0, 20.0)
    assert row["best_at"] == "adam:lr=0.0001"
    assert row["failed"] == pytest.approx(1 / 3)
    assert math.isnan(row["q75"])


# What is refused, and what is said


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"extractor": "inception-v3-compat"}, ["fmnist-cnn-v1", "inception-v3-compat"]),
        ({"sha": "cd"}, ["ab" * 32, "cd" * 32]),
        ({"n_samples": 500}, ["500", "10000"]),
    ],
)
def test_what_cannot_be_compared_is_refused_with_both_names(other, named):
    with pytest.raises(UsageError) as refused:
        sample(run(1.0), run(2.0, seed=1, **other))
    assert all(name in str(refused.value) for name in named)


def test_where_chooses_among_them():
    runs = [run(1.0), run(2.0, seed=1, n_samples=500)]
    assert sample(*runs, where={"n_samples": "500"}).frame["value"].tolist() == [2.0]


def test_a_diverged_run_counts_under_the_sample_size_it_was_asked_for():
    with pytest.raises(UsageError, match="n_samples"):
        sample(run(1.0), run(None, seed=1, n_samples=500))


def test_runs_that_did_not_end_are_counted_not_compared():
    failed = run(None, seed=3).model_copy(update={"status": "failed"})
    found = sample(run(1.0), failed)
    assert len(found.frame) == 1
    assert found.notes == ("1 run interrupted or failed: not counted",)


def test_a_missing_seed_is_named_and_its_block_left_out():
    runs = grid({"nonsat": [1.0, 2.0, 3.0], "hinge": [1.5, 2.5, 3.5]})
    blocks = blocks_of(sample(*runs[:-1]), ["loss"])
    assert blocks.scores.tolist() == [[1.5, 1.0], [2.5, 2.0]]
    assert blocks.notes == ("1 of 3 blocks are left out, for they lack a run: hinge at seed=2",)


def test_settings_that_vary_together_leave_no_block_and_the_error_names_them():
    runs = [run(1.0, loss="wgan", n_dis=5, seed=s) for s in range(3)] + grid({"hinge": [1.0] * 3})
    with pytest.raises(UsageError, match=r"only 0 of 6 blocks.*n_dis, seed"):
        rank(sample(*runs), ["loss"])


def test_an_error_about_too_few_blocks_ends_as_other_errors_do():
    """Whoever prints it ends the sentence: `ganbench table` in a note of its own."""
    runs = [run(1.0), run(2.0, loss="hinge")]
    with pytest.raises(UsageError, match=r"only 1 of 1 blocks.*make the missing runs$"):
        rank(sample(*runs), ["loss"])
    with pytest.raises(UsageError, match=r"missing runs\. 1 of 2 blocks.*hinge at seed=1$"):
        rank(sample(*runs, run(1.0, seed=1)), ["loss"])


def test_two_runs_for_one_place_are_refused():
    twice = run(1.0).model_copy(update={"run_id": "again"})
    with pytest.raises(UsageError, match="nonsat-adam-adam-0 and again"):
        rank(sample(run(1.0), twice, run(2.0, loss="hinge")), ["loss"])


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (["los"], "did you mean 'loss'"),
        ([], "names no setting"),
        (["loss", "loss"], "twice"),
        (["seed"], "seed"),
        (["data"], "nothing to compare"),
    ],
)
def test_a_by_that_makes_no_sense_is_refused(by, said):
    with pytest.raises(UsageError, match=said):
        rank(sample(*grid({"nonsat": [1.0, 2.0], "hinge": [2.0, 3.0]})), by)


# Pairs and ranks


def test_ranks_share_ties_and_a_diverged_run_has_the_worst():
    # Ranks by hand: (1, 2, 3), (1.5, 1.5, 3), (1, 3, 2): means 3.5/3, 6.5/3, 8/3.
    values = {"a": [1.0, 5.0, 1.0], "b": [2.0, 5.0, None], "c": [3.0, 6.0, 2.0]}
    scores = np.array([[INF if v is None else v for v in column] for column in values.values()]).T
    table = rank_blocks(statistics_check.blocks(scores)).table.set_index("treatment")
    assert table["mean_rank"].tolist() == pytest.approx([3.5 / 3, 6.5 / 3, 8 / 3])
    assert table["diverged"].tolist() == pytest.approx([0, 1 / 3, 0])
    assert table["wins"].tolist() == [3, 1, 0]


def test_friedmans_p_is_that_of_iman_and_davenport():
    # Rank sums 5, 8, 11: χ² = 12/(4·3·4)·(25 + 64 + 121) − 3·4·4 = 4.5, F = 3·4.5/(4·2 − 4.5)
    # = 27/7 with 2 and 6 degrees of freedom, whose p is (1 + 2F/6)⁻³ = (7/16)³.
    scores = np.array([[1, 2, 3], [1, 2, 3], [2, 1, 3], [1, 3, 2]], dtype=float)
    assert friedman(scores) == pytest.approx((7 / 16) ** 3)


def test_blocks_that_all_agree_have_friedmans_own_p():
    # χ² = N(k − 1) = 10 with 2 degrees of freedom, whose p is exp(−5).
    scores = np.array([[1.0, 2.0, INF]] * 5)
    assert friedman(scores) == pytest.approx(math.exp(-5))


def test_equal_columns_show_nothing():
    assert friedman(np.ones((5, 3))) == 1.0


def test_nemenyis_critical_difference_is_demsars():
    # Demšar 2006, section 3.2.2: four classifiers, 14 data sets, 2.569·√(4·5/(6·14)) = 1.25.
    scores = np.random.default_rng(0).normal(size=(14, 4))
    ranking = rank_blocks(statistics_check.blocks(scores))
    assert ranking.critical_difference == pytest.approx(2.569 * math.sqrt(20 / 84), rel=1e-3)


def test_a_pair_is_students_paired_test_of_log_ratios_with_holms_correction():
    scores = np.exp(np.random.default_rng(0).normal(size=(6, 3)) * 0.1 + [0, 0.1, 1.0])
    found = {(c.better, c.worse): c for c in compare_pairs(statistics_check.blocks(scores))}
    logs = np.log(scores)
    p = {
        (i, j): stats.ttest_rel(logs[:, i], logs[:, j]).pvalue for i, j in ((0, 1), (0, 2), (1, 2))
    }
    for (i, j), expected in p.items():
        assert found[f"t{i}", f"t{j}"].p == pytest.approx(expected)
    # Holm: the smallest of three times 3, the next times 2 (or the one before, if larger), …
    ordered = sorted(p.values())
    holm = np.maximum.accumulate([ordered[0] * 3, ordered[1] * 2, ordered[2]]).clip(max=1)
    assert sorted(c.p_holm for c in found.values()) == pytest.approx(sorted(holm))
    assert found["t0", "t2"].effect == pytest.approx(math.exp(np.median(logs[:, 0] - logs[:, 2])))


def test_five_seeds_with_a_divergence_never_support_a_claim():
    runs = grid({"nonsat": [1.0, 1.1, 1.2, 1.3, 1.4], "hinge": [9.0, 9.0, 9.0, 9.0, None]})
    ranking = rank(sample(*runs), ["loss"])
    (one,) = ranking.comparisons
    assert (one.test, one.p, one.differ) == ("signed ranks", 0.0625, False)
    assert one.better == "nonsat"
    assert "can't be said, for runs diverged" in sentences(ranking)[-1]


def test_nothing_is_claimed_of_a_pair_where_all_at_once_shows_nothing():
    blocks = statistics_check.blocks(np.exp(np.random.default_rng(0).normal(size=(8, 3))))
    differ = [c.differ for c in compare_pairs(blocks, alpha=0.999, gate=False)]
    assert differ == [False] * 3


@pytest.mark.parametrize(("size", "n"), [(0.5, 34), (0.8, 15), (0.2, 199)])
def test_pairs_needed_are_cohens(size, n):
    """Cohen 1988: paired, two-sided 5 %, power 0.8; G*Power gives 34, 15 and 199."""
    assert pairs_for(size, 0.05) == n


def test_an_effect_of_nothing_needs_more_than_can_be_made():
    assert pairs_for(0.0, 0.05) == 10_000


def test_the_sentence_says_how_many_seeds_would_be_needed():
    rng = np.random.default_rng(1)
    fids = np.exp(rng.normal(size=5) * 0.3 + 3)
    noise = rng.normal(size=5) * 0.2
    runs = grid({"nonsat": [*fids], "hinge": [*(fids * np.exp(0.05 + noise))]})
    ranking = rank(sample(*runs), ["loss"])
    d = 0.05 + noise
    needed = max(6, pairs_for(d.mean() / d.std(ddof=1), 0.05))
    assert sentences(ranking) == [
        f"nonsat and hinge can't be told apart with 5 seeds; about {needed} would be needed"
    ]


def test_equal_runs_are_said_to_be_equal():
    ranking = rank(sample(*grid({"nonsat": [1.0, 2.0], "hinge": [1.0, 2.0]})), ["loss"])
    assert sentences(ranking)[-1].endswith("every block has the same value")


# Time to target


def test_time_to_target_is_the_first_evaluation_that_is_good_enough():
    rows = [at.model_dump() for at in run(1.0, way=[40.0, 30.0, 35.0, 20.0]).evaluations]
    found = [time_to_target(rows, "fid", 30.0, unit) for unit in ("s", "kimg", "step")]
    assert found == [4.0, 2.0, 20.0]
    assert time_to_target(rows, "fid", 10.0, "s") == INF
    assert time_to_target(rows, "recall", 10.0, "s") == INF
    assert time_to_target(rows, "fid", 35.0, "s", higher=True) == 2.0


def test_a_profile_is_the_share_of_blocks_within_a_ratio_of_the_best():
    # Times of a: 1, 2, miss; of b: 2, 1, miss. Ratios: (1, 2), (2, 1), (∞, ∞). Area to a cap of 4,
    # over 3: (4 − 1)/3 = 1 and (4 − 2)/3 = ⅔, so both score (1 + ⅔ + 0)/3 = 5/9.
    way = {"nonsat": ([9, 9], [50, 9], [50, 50]), "hinge": ([50, 9], [9, 9], [50, 50])}
    runs = [run(9.0, loss=k, seed=s, way=w) for k, ways in way.items() for s, w in enumerate(ways)]
    profile = profile_of(sample(*runs), ["loss"], 10.0)
    assert profile.table["score"].tolist() == pytest.approx([5 / 9, 5 / 9])
    assert profile.table["hits"].tolist() == [2, 2]
    shares = profile.share_within("hinge", np.array([1.0, 1.9, 2.0, 4.0]))
    assert shares.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3])


def test_times_need_evaluations_on_the_way_equally_often():
    runs = grid({"nonsat": [1.0, 2.0], "hinge": [1.0, 2.0]})
    with pytest.raises(UsageError, match="--eval-every"):
        profile_of(sample(*runs), ["loss"], 1.0)
    ways = grid({"nonsat": [1.0, 2.0]}, way=[1.0]) + grid({"hinge": [1.0, 2.0]}, eval_every=7)
    with pytest.raises(UsageError, match="every 7, 10 steps"):
        profile_of(sample(*ways), ["loss"], 1.0)


# The commands


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    values = {"nonsat": 30.0, "hinge": 31.0, "minimax": 90.0}
    for loss, fid in values.items():
        for seed in range(5):
            value = fid * math.exp(0.1 * rng.normal())
            one = run(value, loss=loss, seed=seed, way=[2 * value, value])
            one.save(tmp_path / "runs" / one.run_id)
    return tmp_path


def test_rank_prints_ranks_and_what_the_evidence_does_not_support(ganbench_cli, folder):
    answer = ganbench_cli("rank", folder, "--by", "loss", "--target", "40", "--unit", "kimg")
    assert answer.code == 0
    assert "nonsat and hinge can't be told apart with 5 seeds" in answer.out
    assert "nonsat is better than minimax in 5 of 5 blocks" in answer.out
    assert "Time to fid 40" in answer.out
    assert "miss" in answer.out


def test_rank_writes_tables_and_pictures_by_their_names(ganbench_cli, folder, tmp_path):
    for name, start in (("r.csv", b"treatment,"), ("r.md", b"| treatment"), ("r.tex", b"\\begin")):
        assert ganbench_cli("rank", folder, "--out", tmp_path / name).code == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    for name, start in (("r.png", b"\x89PNG"), ("r.pdf", b"%PDF"), ("r.svg", b"<?xml")):
        plot = ("--plot", tmp_path / name, "--target", 40)
        assert ganbench_cli("rank", folder, *plot).code == 0
        assert (tmp_path / name).read_bytes().startswith(start)


def test_rank_as_json_is_json_without_nan(ganbench_cli, folder):
    answer = ganbench_cli("rank", folder, "--json", "--target", "40")
    told = json.loads(answer.out, parse_constant=lambda word: pytest.fail(word))
    assert [row["treatment"] for row in told["ranks"]][-1] == "minimax"
    assert len(told["comparisons"]) == 3
    assert told["time_to_target"]["table"][-1]["median_time"] is None


def test_table_by_cells_shows_the_statistics_asked_for(ganbench_cli, folder):
    answer = ganbench_cli("table", folder, "--by", "loss,opt", "--stat", "median")
    header = next(line for line in answer.out.splitlines() if line.startswith("|"))
    names = [cell.strip() for cell in header.strip("|").split("|")]
    assert names == ["loss", "opt", "n", "diverged", "median"]
    assert "can't be told apart with 5 seeds" in answer.out
    told = json.loads(ganbench_cli("table", folder, "--by", "loss", "--json").out)
    assert [cell["n"] for cell in told["cells"]] == [5, 5, 5]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "lss"], "did you mean 'loss'"),
        (["--metric", "fidd"], "did you mean 'fid'"),
        (["--where", "loss"], "KEY=VALUE"),
        (["--where", "losss=hinge"], "did you mean 'loss'"),
        (["--where", "loss=none"], "no finished run to compare with loss=none"),
        (["--alpha", "2"], "between 0 and 1"),
        (["--out", "ranks.doc"], ".csv, .md, .tex"),
        (["--plot", "ranks.doc"], ".png, .pdf, .svg"),
        (["--target", "3", "--unit", "h"], "no unit 'h'"),
        (["--target", "3", "--cap", "1"], "more than 1"),
        (["--target", "3", "--cap", "inf"], "cap is inf"),
        (["--target", "nan"], "target is nan"),
    ],
)
def test_rank_explains_a_wrong_request(ganbench_cli, folder, arguments, said):
    answer = ganbench_cli("rank", folder, *arguments)
    assert answer.code == 2
    assert said in answer.err


def test_statistics_of_cells_need_by(ganbench_cli, folder):
    answer = ganbench_cli("table", folder, "--over", "opt")
    assert answer.code == 2
    assert "--by" in answer.err


def test_an_empty_folder_says_how_to_fill_it(ganbench_cli, tmp_path):
    answer = ganbench_cli("rank", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert "ganbench run --out" in answer.err


# Simulation. Bounds are the truth ± 4 standard errors of the share.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "least"),
    [(5, 0.9375), (10, 0.93), (20, 0.93)],
)
@pytest.mark.parametrize("name", statistics_check.DISTRIBUTIONS)
def test_intervals_hold_the_median_as_often_as_the_docs_say(name, n, least):
    times = 400
    found = statistics_check.coverage(*statistics_check.DISTRIBUTIONS[name], n, times, seed=7)
    assert found >= least - 4 * math.sqrt(least * (1 - least) / times)


@pytest.mark.slow
@pytest.mark.parametrize(("_", "k", "n", "first"), statistics_check.COMPARISONS)
@pytest.mark.parametrize("name", statistics_check.DISTRIBUTIONS)
def test_rank_claims_a_difference_that_is_not_there_at_most_one_time_in_twenty(
    name, _, k, n, first
):
    times = 300
    draw, _ = statistics_check.DISTRIBUTIONS[name]
    found = statistics_check.false_positives(draw, k, n, times, seed=7, first=first)
    assert found <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / times)


@pytest.mark.slow
def test_as_many_blocks_as_are_named_tell_apart_four_times_in_five():
    for size, k in ((0.5, 2), (1.0, 6)):
        _, found = statistics_check.power(size, k, 20_000, seed=7)
        assert 0.8 - 0.012 < found < 0.85
