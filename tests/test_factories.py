"""Options come from a factory's signature, and their types from its annotations."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from ganbench.errors import UsageError
from ganbench.factories import Option, check_options, options_of, resolve_factory, summary_of


def network(
    z_dim: int,
    shape: tuple[int, ...],
    *,
    width: Annotated[int, Field(ge=1)] = 64,
    norm: Literal["batch", "none"] = "batch",
    scales: list[float] | None = None,
    label: Any = None,
) -> None:
    """A network of convolutions.

    More about it.
    """


@dataclass
class Margin:
    """A loss with a margin."""

    margin: float
    weight: float = 1.0


def check(given: dict[str, Any]) -> dict[str, Any]:
    return check_options("generator 'n'", options_of(network, 2), given)


def test_the_options_are_the_parameters_after_the_harness_s_own():
    options = options_of(network, 2)
    assert list(options) == ["width", "norm", "scales", "label"]
    assert {name: option.default for name, option in options.items()} == {
        "width": 64,
        "norm": "batch",
        "scales": None,
        "label": None,
    }


def test_a_class_s_options_are_its_constructor_s():
    margin, weight = options_of(Margin, 0).values()
    assert (margin.name, margin.required, margin.type_name) == ("margin", True, "float")
    assert (weight.name, weight.default) == ("weight", 1.0)


def test_a_type_is_shown_without_its_bounds():
    shown = [option.type_name for option in options_of(network, 2).values()]
    assert shown == ["int", "Literal['batch', 'none']", "list[float] | None", "Any"]


def test_a_catch_all_is_no_option():
    def factory(module: object, lr: float = 0.1, *rest: int, **others: int) -> None:
        """Takes anything."""

    assert list(options_of(factory, 1)) == ["lr"]


def test_an_annotation_that_can_not_be_evaluated_is_not_checked():
    def factory(x: NotImported = 1) -> None:  # noqa: F821
        """Its type is unknown."""

    options = options_of(factory, 0)
    assert options["x"].type_name == "NotImported"
    assert check_options("loss 'a'", options, {"x": "anything"}) == {"x": "anything"}


def test_a_callable_without_a_signature_is_refused_in_words():
    with pytest.raises(UsageError, match="has no signature that Python can read"):
        options_of(itertools.chain, 0)


def test_values_are_turned_into_the_annotated_type():
    assert check({"width": 32, "scales": [1, 2]}) == {"width": 32, "scales": [1.0, 2.0]}


@given(st.integers(min_value=1))
def test_a_value_within_the_bounds_is_taken_as_it_is(width):
    assert check({"width": width}) == {"width": width}


@given(st.integers(max_value=0))
def test_a_value_beyond_the_bounds_is_named_with_the_type_and_the_bound(width):
    with pytest.raises(UsageError, match=rf"'width' is {width}, but wants int \(.*than or equal"):
        check({"width": width})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"widht": 3}, "generator 'n' has no option 'widht'; did you mean 'width'"),
        ({"zzz": 3}, r"has no option 'zzz'\. Its options: width=64, norm='batch', scales=None"),
        ({"norm": "layer"}, "option 'norm' is 'layer', but wants Literal"),
        ({"width": "wide"}, "option 'width' is 'wide', but wants int"),
        ({"scales": [1, "b"]}, r"option 'scales' is \[1, 'b'\], but wants list\[float\]"),
    ],
)
def test_a_bad_option_is_told_with_what_is_allowed(given, told):
    with pytest.raises(UsageError, match=told):
        check(given)


def test_a_missing_required_option_is_asked_for():
    with pytest.raises(UsageError, match="loss 'm' needs the option 'margin': write margin=…"):
        check_options("loss 'm'", options_of(Margin, 0), {"weight": 2.0})


def test_a_component_without_options_says_so():
    with pytest.raises(UsageError, match="Its options: it has none"):
        check_options("loss 'm'", {}, {"weight": 2.0})


def test_an_option_of_unknown_type_takes_any_value():
    def factory(x=1):
        """No annotation."""

    option = options_of(factory, 0)["x"]
    assert (option.type_name, option.required) == ("any", False)
    assert check_options("loss 'a'", {"x": option}, {"x": ["b"]}) == {"x": ["b"]}


def test_a_factory_is_imported_by_module_and_attribute():
    assert resolve_factory("json:dumps") is json.dumps


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("no_such_module:x", ModuleNotFoundError),
        ("json:no_such_attribute", AttributeError),
        ("json:__doc__", TypeError),
    ],
)
def test_a_target_that_leads_nowhere_is_an_error(target, error):
    with pytest.raises(error):
        resolve_factory(target)


def test_a_summary_is_the_docstring_s_first_line():
    assert summary_of(network) == "A network of convolutions."
    assert summary_of(lambda: None) == ""


def test_a_summary_of_a_named_target_is_read_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "explodes.py").write_text(
        'raise RuntimeError("imported")\n\n\ndef loss():\n    """A loss.\n\n    More."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert summary_of("explodes:loss") == "A loss."
    assert summary_of("explodes:other") == ""
    assert summary_of("no_such_module:other") == ""


def test_an_option_without_default_is_required():
    empty = options_of(lambda x: x, 0)["x"]
    assert empty.required
    assert not Option("x", None, int).required
