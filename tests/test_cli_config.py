"""Settings of a command line: config file or preset, then --set, then flags."""

from __future__ import annotations

import inspect

import pytest

from ganbench.cli.config import make_spec, preset_names
from ganbench.cli.run import run
from ganbench.errors import UsageError
from ganbench.plan import make_plan
from ganbench.spec import RunSpec


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "settings.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_flag_wins_over_set_and_set_over_the_file(toml):
    file = toml("steps = 1\nseed = 1\nn_dis = 1")
    spec = make_spec(file, ["seed=2", "n_dis=2"], {"n_dis": 3})
    assert (spec.steps, spec.seed, spec.n_dis) == (1, 2, 3)


def test_what_nobody_set_stays_unset(toml):
    spec = make_spec(toml("seed = 1"), [], {"steps": 5, "loss": None})
    assert spec.model_fields_set == {"seed", "steps"}


def test_opt_of_a_later_source_replaces_both_optimizers_of_an_earlier_one(toml):
    spec = make_spec(toml('opt_g = "sgd"'), [], {"opt": "rmsprop"})
    assert (spec.opt_g, spec.opt_d) == ("rmsprop", "rmsprop")


def test_opt_g_of_a_later_source_leaves_opt_d_as_opt_set_it(toml):
    spec = make_spec(toml('opt = "sgd"'), ["opt_g=adam:lr=1e-4"], {})
    assert (spec.opt_g, spec.opt_d) == ("adam:lr=0.0001", "sgd")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("steps=7", "steps", 7),
        ("ema_halflife_kimg=0.5", "ema_halflife_kimg", 0.5),
        ('loss="nonsat"', "loss", "nonsat"),
        ("loss=nonsat+l1:weight=2", "loss", "nonsat+l1:weight=2"),
        ("batch_size=full", "batch_size", "full"),
        ("device=cuda:0", "device", "cuda:0"),
        ('metrics=["fid","kid"]', "metrics", ("fid", "kid")),
        ("metrics=none", "metrics", ()),
    ],
)
def test_set_takes_toml_values_and_needs_no_quotes_for_text(text, key, value):
    assert getattr(make_spec(None, [text], {}), key) == value


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("stpes=3", "no setting 'stpes'; did you mean 'steps'"),
        ("steps", "not key=value"),
        ("steps=[1", "steps is '\\[1'"),
        ("steps=1\nseed=4", "steps is"),
    ],
)
def test_a_wrong_assignment_is_explained(assignment, message):
    with pytest.raises(UsageError, match=message):
        make_spec(None, [assignment], {})


def test_an_unknown_key_of_a_file_is_named_with_the_nearest(toml):
    with pytest.raises(UsageError, match=r"no setting 'los'; did you mean 'loss'.*settings.toml"):
        make_spec(toml('los = "nonsat"'), [], {})


def test_malformed_toml_is_explained_with_its_line(toml):
    with pytest.raises(UsageError, match=r"is not TOML: .*line 2"):
        make_spec(toml("steps = 3\nloss = = 2"), [], {})


def test_a_file_that_is_not_text_is_explained(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00steps")
    with pytest.raises(UsageError, match="not UTF-8"):
        make_spec(str(tmp_path / "x.toml"), [], {})


def test_a_missing_file_and_a_folder_are_explained(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        make_spec(str(tmp_path / "none.toml"), [], {})
    with pytest.raises(UsageError, match="Is a directory"):
        make_spec(str(tmp_path), [], {})


def test_a_misspelt_preset_is_told_the_nearest():
    with pytest.raises(UsageError, match="no preset 'articl'; did you mean 'article'"):
        make_spec("articl", [], {})


def test_the_presets_are_the_two_of_the_article_and_plan(registry):
    assert preset_names() == ["article", "article-as-printed"]
    for name in preset_names():
        make_plan(make_spec(name, ["device=cpu"], {}), registry)


def test_the_printed_listing_differs_from_the_right_one_in_its_mistakes_only():
    right, printed = (
        make_spec(name, [], {}).model_dump() for name in ("article", "article-as-printed")
    )
    different = {key for key in right if right[key] != printed[key]}
    assert different == {"discriminator", "loss", "rule", "opt_g", "opt_d"}


def test_every_setting_has_a_flag_and_its_help_tells_the_default():
    parameters = inspect.signature(run, eval_str=True).parameters
    flags = {name: one.annotation.__metadata__[0] for name, one in parameters.items()}
    assert set(inspect.signature(run).parameters) >= {*RunSpec.model_fields, "opt"}
    for name, field in RunSpec.model_fields.items():
        default = field.default
        if default and name not in ("opt_g", "opt_d", "device"):
            text = ",".join(default) if isinstance(default, tuple) else str(default)
            assert f"Default: {text}." in flags[name].help, name
