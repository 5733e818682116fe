"""Component texts: what they mean, what is refused, and that writing and reading are inverse."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ganbench.errors import UsageError
from ganbench.grammar import (
    Component,
    format_component,
    format_sum,
    is_name,
    parse_component,
    parse_sum,
    split_list,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers() | st.floats(allow_nan=False)
values = st.recursive(
    st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9_.\-]{0,8}", fullmatch=True)
keys = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
components = st.builds(Component, names, st.dictionaries(keys, values, max_size=3))


@given(components)
@example(Component("a", {"x": "true", "y": "inf", "z": "nan", "w": ""}))
@example(Component("a", {"x": "a+b", "y": "1,k=2", "z": 'quote " and \\', "w": "\x7f\x00\n"}))
@example(Component("a", {"x": 1e-300, "y": -0.0, "z": math.inf, "w": 10**40}))
@example(Component("a", {"x": {"": {"\x7f": ["b", 1.5, [True]]}}}))
def test_reading_what_was_written_gives_the_component_back(component):
    assert parse_component(str(component)) == component


@given(st.lists(components, min_size=1, max_size=4))
def test_reading_a_written_sum_gives_its_components_back(parts):
    assert parse_sum(format_sum(tuple(parts))) == tuple(parts)


@given(st.lists(components, min_size=1, max_size=4))
def test_a_list_of_written_components_splits_into_them(parts):
    written = [str(part) for part in parts]
    assert split_list(",".join(written)) == written


@given(components)
def test_writing_is_canonical(component):
    assert str(parse_component(str(component))) == str(component)


@given(st.text(max_size=30))
def test_any_text_is_a_component_or_an_explained_mistake(text):
    with contextlib.suppress(UsageError):
        component = parse_component(text)
        assert parse_component(str(component)) == component


def test_nan_survives_though_it_is_not_equal_to_itself():
    written = format_component("a", {"x": math.nan})
    assert math.isnan(parse_component(written).options["x"])


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("adam", "adam", {}),
        (" adam ", "adam", {}),
        ("adam:lr=2e-4,betas=[0.5,0.999]", "adam", {"lr": 2e-4, "betas": [0.5, 0.999]}),
        ("adam:lr=.5", "adam", {"lr": 0.5}),
        ("adam:lr=1.", "adam", {"lr": 1.0}),
        ("adam:lr=1e3", "adam", {"lr": 1000.0}),
        ("mmd:kernel=rational-quadratic", "mmd", {"kernel": "rational-quadratic"}),
        ('optimistic:base="sgd:lr=0.1"', "optimistic", {"base": "sgd:lr=0.1"}),
        ("a: x = 1 , y = [1, 2] ", "a", {"x": 1, "y": [1, 2]}),
        ("my-package/hinge", "my-package/hinge", {}),
        ("2pac.loss/a:x=true", "2pac.loss/a", {"x": True}),
    ],
)
def test_a_component_is_its_name_and_options(text, name, options):
    assert parse_component(text) == Component(name, options)


def test_a_plus_joins_losses_but_not_inside_numbers_brackets_or_quotes():
    parts = parse_sum('a:x=1e+3+b:y="c+d",z=[1,+2]+c')
    assert [str(part) for part in parts] == ["a:x=1000.0", 'b:y="c+d",z=[1,2]', "c"]


def test_a_comma_before_a_key_continues_the_options():
    assert split_list("fid,kid:subsets=10,subset_size=50,mmd") == [
        "fid",
        "kid:subsets=10,subset_size=50",
        "mmd",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a component"),
        ("2fast", "is not a component"),
        ("a b", "is not a component"),
        ("a/", "is not a component"),
        ("adam:", "ends in a colon: give options as adam:key=value"),
        ("adam:lr", "option 'lr' of 'adam' is not key=value"),
        ("adam:2lr=1", "is not key=value"),
        ("adam:lr=1,lr=2", "option 'lr' of 'adam' is given twice"),
        ("adam:lr=1 2", "has the value '1 2', which is not a TOML value"),
        ("adam:lr=", "has the value '', which is not a TOML value"),
    ],
)
def test_a_mistake_is_told_with_the_text_and_the_remedy(text, told):
    with pytest.raises(UsageError, match=told):
        parse_component(text)


def test_a_value_that_toml_lacks_can_not_be_written():
    with pytest.raises(UsageError, match="must be a TOML value, not NoneType"):
        format_component("a", {"x": None})


@pytest.mark.parametrize("name", ["hinge", "wgan-gp", "a.b_c2", "R1"])
def test_a_name_begins_with_a_letter(name):
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "2d", "-a", "a b", "a/b", "a:b", "a+b", "a,b", "a=b", "a\n"])
def test_what_the_grammar_uses_itself_is_no_part_of_a_name(name):
    assert not is_name(name)
