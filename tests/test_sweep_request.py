"""What a sweep is asked to be: values of flags, files, exclusions, searches, budgets."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganbench.errors import UsageError
from ganbench.grammar import format_component
from ganbench.spec import RunSpec
from ganbench.sweep.axes import values_of
from ganbench.sweep.budget import parse_budget, within_kimg
from ganbench.sweep.check import plan_runs
from ganbench.sweep.expand import expand
from ganbench.sweep.request import make_request, parse_exclusion, read_sweep_file
from ganbench.sweep.search import Range, apply_sample, parse_search, samples

OPTIONS = st.dictionaries(
    st.sampled_from(["lr", "betas", "nesterov", "mode"]),
    st.one_of(
        st.floats(1e-9, 1e9),
        st.integers(-9, 9),
        st.booleans(),
        st.lists(st.floats(0, 1), min_size=1, max_size=3),
        st.text("ab,:=[]'\"+ ", max_size=6),
    ),
    max_size=3,
)
COMPONENTS = st.builds(format_component, st.sampled_from(["adam", "sgd", "muon-x"]), OPTIONS)


def settings_of(tables=None, flags=None, base=None, exclude=()):
    request = make_request(
        tables or {}, flags or {}, base or {}, list(map(parse_exclusion, exclude))
    )
    return list(expand(request))


@given(st.lists(COMPONENTS, min_size=1, max_size=4, unique=True))
def test_a_list_of_components_splits_into_those_that_were_joined(components):
    assert values_of("opt", ",".join(components)) == components


@pytest.mark.parametrize(
    ("key", "text", "values"),
    [
        ("loss", "nonsat,hinge,wgan+wgan-gp", ["nonsat", "hinge", "wgan+wgan-gp"]),
        ("opt", "adam:lr=1e-4,adam:lr=2e-4", ["adam:lr=1e-4", "adam:lr=2e-4"]),
        ("opt", "adam:lr=1e-4,betas=[0,0.9],sgd", ["adam:lr=1e-4,betas=[0,0.9]", "sgd"]),
        ("loss", "nonsat+r1:gamma=1,weight=2,hinge", ["nonsat+r1:gamma=1,weight=2", "hinge"]),
        ("seed", "0..4", [0, 1, 2, 3, 4]),
        ("seed", "7,0..2,1", [7, 0, 1, 2]),
        ("steps", "100..300..100", [100, 200, 300]),
        ("batch_size", "64,full", [64, "full"]),
        ("ema_halflife_kimg", "0,2.5", [0, 2.5]),
        ("metrics", "fid,kid:subsets=10", ["fid,kid:subsets=10"]),
        ("seed", [3, "0..1"], [3, 0, 1]),
        ("metrics", [["fid"], ["fid", "kid"]], [["fid"], ["fid", "kid"]]),
    ],
)
def test_the_values_of_a_setting(key, text, values):
    assert values_of(key, text) == values


@pytest.mark.parametrize("text", ["4..0", "0..4..0", "0..9999999", ""])
def test_an_empty_or_endless_range_is_refused(text):
    with pytest.raises(UsageError, match="seed"):
        values_of("seed", text)


def test_every_combination_is_a_run():
    runs = settings_of(flags={"loss": "nonsat,hinge", "opt": "adam,sgd", "seed": "0..2"})
    assert [tuple(run.values()) for run in runs] == list(
        itertools.product(["nonsat", "hinge"], ["adam", "sgd"], [0, 1, 2])
    )


def test_a_flag_replaces_a_setting_of_the_file_in_its_grid_and_its_includes():
    tables = {
        "base": {"steps": 10, "opt_g": "sgd"},
        "grid": {"loss": ["nonsat", "hinge"], "seed": "0..1"},
        "include": [{"loss": "wgan", "seed": "5..6"}],
    }
    runs = settings_of(tables, flags={"seed": "9", "opt": "adam"})
    assert runs == [
        {"steps": 10, "loss": loss, "seed": 9, "opt": "adam"}
        for loss in ("nonsat", "hinge", "wgan")
    ]


def test_an_include_is_a_grid_of_its_own_over_the_base():
    tables = {
        "base": {"steps": 10},
        "grid": {"loss": ["nonsat"], "seed": [0, 1]},
        "include": [{"loss": "wgan", "opt": ["sgd", "adam"]}],
    }
    assert [tuple(run.values()) for run in settings_of(tables)] == [
        (10, "nonsat", 0),
        (10, "nonsat", 1),
        (10, "wgan", "sgd"),
        (10, "wgan", "adam"),
    ]


@pytest.mark.parametrize(
    ("exclusion", "left"),
    [
        ("loss=hinge opt=sgd:lr=0.1", 3),
        ("loss=hinge opt=sgd:lr=1e-1", 3),  # as it is written, 0.1 is 1e-1
        ("opt=sgd*", 2),
        ("opt_d=sgd*", 2),
        ("loss=*", 0),
        ("loss=sat", 4),
        ("steps=1500", 0),  # the default is what these runs have
        ("loss=hinge,nonsat opt=adam", 2),
    ],
)
def test_an_exclusion_leaves_out_runs_that_match_all_it_names(exclusion, left):
    runs = settings_of(
        flags={"loss": "nonsat,hinge", "opt": "adam,sgd:lr=0.1"}, exclude=[exclusion]
    )
    assert len(runs) == left


def test_all_mistakes_of_a_file_are_told_at_once():
    tables = {
        "base": {"stepz": 1},
        "grid": {"seed": "4..0", "los": "hinge"},
        "search": {"n": 3, "method": "grid"},
    }
    with pytest.raises(UsageError) as error:
        settings_of(tables)
    for told in ("stepz", "4..0", "'los'", "search method 'grid'"):
        assert told in str(error.value)


def test_all_mistakes_of_all_runs_are_told_at_once_with_what_to_leave_out(registry):
    flags = {
        "loss": "nonsatt,hinge",
        "opt": "adam,lbfgs,sgd:lrr=1",
        "batch_size": "8",
        "seed": "0..1",
    }
    everything = settings_of(flags=flags)
    with pytest.raises(UsageError) as error:
        plan_runs(everything, registry)
    told = str(error.value)
    assert "of the 12 runs can't be" in told
    assert "did you mean 'nonsat'?" in told
    assert "in 6 run(s): loss=nonsatt" in told
    assert "lrr" in told


def test_parts_that_do_not_fit_are_named_with_the_exclusion_that_leaves_them_out(registry):
    everything = settings_of(flags={"opt": "adam,gd", "loss": "nonsat,hinge", "batch_size": "8"})
    with pytest.raises(UsageError, match="to leave them out: --exclude opt=gd") as error:
        plan_runs(everything, registry)
    (exclusion,) = [line for line in str(error.value).splitlines() if "--exclude" in line]
    text = exclusion.partition("--exclude ")[2]
    left = settings_of(
        flags={"opt": "adam,gd", "loss": "nonsat,hinge", "batch_size": "8"}, exclude=[text]
    )
    assert len(plan_runs(left, registry)) == 2


def test_runs_that_need_several_processes_or_seeds_at_once_are_refused(registry, monkeypatch):
    seeds = settings_of({"base": {"vectorize": True}}, flags={"seed": "0..1"})
    with pytest.raises(
        UsageError, match=r"2 of the 2 runs can't be(?s:.*)--seeds 0\.\.4 --vectorize"
    ):
        plan_runs(seeds, registry)
    with pytest.raises(UsageError, match=r"torchrun --nproc-per-node=2 -m ganbench run"):
        plan_runs(settings_of({"base": {"ranks": 2}}), registry)
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "MASTER_PORT": 29500}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(UsageError, match="torchrun started 2 processes of this sweep"):
        plan_runs(settings_of(flags={"seed": "0"}), registry)


def test_a_run_that_is_listed_twice_is_one_run(registry):
    runs = plan_runs(
        settings_of(flags={"opt": "adam:lr=1e-4,adam:lr=0.0001", "seed": "0"}), registry
    )
    assert len(runs) == 1


def test_runs_leave_nothing_to_the_machine_and_come_seed_by_seed(registry):
    runs = plan_runs(settings_of(flags={"loss": "nonsat,hinge", "seed": "0..1"}), registry)
    assert [run.plan.spec.seed for run in runs] == [0, 0, 1, 1]
    for run in runs:
        assert run.settings["threads"] == 1
        assert run.settings["device"] != "auto"
        assert plan_runs([run.settings], registry)[0].run_id == run.run_id


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("grid = 3", r"\[grid\]"),
        ("include = {a=1}", r"\[\[include\]\]"),
        ("[gird]", "did you mean 'grid'"),
        ("loss = 'hinge'", r"\[base\]"),
        ("[grid", "not TOML"),
    ],
)
def test_a_file_that_is_no_sweep_is_explained(tmp_path, text, told):
    file = tmp_path / "sweep.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_sweep_file(file)


SPACE = {"opt": {"lr": {"low": 1e-5, "high": 1e-1, "log": True}}, "n_dis": {"low": 1, "high": 5}}


@pytest.mark.parametrize("method", ["random", "halton", "sobol"])
def test_samples_keep_to_their_ranges_and_repeat_with_their_seed(method):
    search = parse_search({"method": method, "n": 64, "seed": 3, "space": SPACE})
    drawn = samples(search)
    assert drawn == samples(search)
    assert drawn != samples(parse_search({"method": method, "n": 64, "seed": 4, "space": SPACE}))
    assert all(1e-5 <= one["opt", "lr"] <= 1e-1 for one in drawn)
    assert {one["n_dis",] for one in drawn} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("method", ["halton", "sobol"])
def test_a_low_discrepancy_sample_fills_every_octave_of_a_log_range(method):
    drawn = samples(parse_search({"method": method, "n": 64, "space": SPACE}))
    # 16 equal slices of [log 1e-5, log 1e-1]: 64 points put four in each, give or take two.
    slices = [int((math.log10(one["opt", "lr"]) + 5) / 4 * 16) for one in drawn]
    assert all(2 <= slices.count(i) <= 6 for i in range(16)), slices


def test_a_range_at_its_quarter_is_a_quarter_of_the_way_in_its_scale():
    assert Range(("x",), 1.0, 5.0).at(0.25) == 2.0
    assert Range(("x",), 1e-4, 1.0, log=True).at(0.25) == 1e-3
    assert [Range(("x",), 1, 4, integer=True).at(u) for u in (0, 0.24, 0.25, 0.999)] == [1, 1, 2, 4]
    assert Range(("x",), choices=("a", "b")).at(0.5) == "b"


def test_a_sample_sets_options_of_components():
    sample = {("opt", "lr"): 0.5, ("loss", "r1", "gamma"): 2.0, ("steps",): 7}
    settings = {"opt_g": "adam:betas=[0.0,0.9]", "loss": "nonsat+r1"}
    assert apply_sample(settings, sample) == {
        "opt_g": "adam:betas=[0.0,0.9],lr=0.5",
        "loss": "nonsat+r1:gamma=2.0",
        "steps": 7,
    }
    spec = RunSpec(**apply_sample({}, {("opt", "lr"): 0.5}))
    assert (spec.opt_g, spec.opt_d) == ("adam:lr=0.5", "adam:lr=0.5")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"n": 20, "method": "sobol", "space": SPACE}, "take 16 or 32"),
        ({"n": 0, "space": SPACE}, "n of"),
        ({"n": 4}, "search.space"),
        ({"n": 4, "space": {"opt": {"lr": {"low": 0, "high": 1, "log": True}}}}, "above 0"),
        ({"n": 4, "space": {"opt": {"lr": {"low": 2, "high": 1}}}}, "smaller"),
        ({"n": 4, "space": {"opt": {"lr": {"low": 2}}}}, "high"),
        ({"n": 4, "space": {"optt": [1]}}, "did you mean 'opt'"),
        (
            {"n": 4, "space": {"opt": {"lr": {"low": 1, "high": 2, "lgo": True}}}},
            "no key 'lgo'",
        ),
    ],
)
def test_a_search_that_can_not_be_is_explained(table, told):
    with pytest.raises(UsageError, match=told):
        parse_search(table)


def test_a_search_multiplies_the_grid_by_its_samples():
    tables = {"grid": {"loss": ["nonsat", "hinge"]}, "search": {"n": 4, "space": SPACE}}
    runs = settings_of(tables)
    assert len(runs) == 8
    assert len({run["opt"] for run in runs}) == 4


@pytest.mark.parametrize(("text", "s"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1d", 86400)])
def test_a_budget_of_time(text, s):
    assert parse_budget(text).seconds == s


@pytest.mark.parametrize("text", ["", "3", "h", "-1h", "0s", "5 kilo"])
def test_a_budget_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="500kimg"):
        parse_budget(text)


def test_a_budget_of_images_keeps_the_first_runs_that_fit(registry):
    flags = {"seed": "0..4", "steps": "10", "batch_size": "100", "n_dis": "2"}
    runs = plan_runs(settings_of(flags=flags), registry)
    # 10 steps × 2 discriminator updates × 100 images = 2 kimg a run.
    assert len(within_kimg(runs, 7.9)) == 3
    assert len(within_kimg(runs, 8.0)) == 4


def test_a_task_that_was_put_back_is_not_forced_again(tmp_path, monkeypatch):
    from ganbench.protocols import Job, JobEnd
    from ganbench.record import RunRecord
    from ganbench.sweep.backends import slurm_task

    forced: list[bool] = []

    def execute_job(job: Job) -> JobEnd:
        forced.append(job.force)
        return JobEnd(job.run_id, "completed")

    monkeypatch.setattr(slurm_task, "execute_job", execute_job)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    job = {"run_id": "a-run", "settings": {}, "out": str(tmp_path), "force": True}
    folder = tmp_path / "runs" / "a-run"
    folder.mkdir(parents=True)
    for status, restarts in (("interrupted", 0), ("interrupted", 1), ("completed", 1)):
        RunRecord(
            run_id="a-run", spec=RunSpec(), spec_sha256="0", status=status, steps_done=1, nimg=1
        ).save(folder)
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
        slurm_task.Task()(job)
    assert forced == [True, False, True]


def test_a_task_that_was_put_back_waits_until_the_claim_of_a_node_that_failed_lapses(
    tmp_path, monkeypatch, registry
):
    import os
    import time
    from dataclasses import asdict

    from ganbench.protocols import Job
    from ganbench.store import status_of
    from ganbench.sweep.backends import slurm_task
    from ganbench.sweep.backends.slurm_queue import read_end
    from ganbench.sweep.claims import GONE_AFTER_S

    base = {"data": "dirac", "generator": "dirac", "discriminator": "dirac", "metrics": "none"}
    (planned,) = plan_runs(settings_of(base={**base, "steps": 5, "device": "cpu"}), registry)
    owner = tmp_path / "claims" / planned.run_id / "their-token"
    owner.parent.mkdir(parents=True)
    owner.write_text('{"machine": "another node", "pid": 1, "began": 0.0}')
    monkeypatch.setattr(slurm_task, "_LOOK_EVERY_S", 0.2)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    job = asdict(Job(planned.run_id, planned.settings, str(tmp_path)))
    for restarts, lapses_in_s, then in (("0", GONE_AFTER_S, "busy"), ("1", 1.0, "completed")):
        heard = time.time() - GONE_AFTER_S + lapses_in_s
        os.utime(owner, (heard, heard))
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        slurm_task.Task()(job)
        assert read_end(tmp_path, "7", planned.run_id).status == then
    assert status_of(tmp_path, planned.run_id) == "completed"
