"""From a RunSpec to a Plan: every component found, every option checked, one hash for it all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ganbench.errors import IncompatibleParts, UsageError
from ganbench.factories import check_options, options_of
from ganbench.files import sha256_of_file
from ganbench.grammar import Component, format_component, parse_component, parse_sum
from ganbench.launch import settled_ranks
from ganbench.registry import Registered, Registry
from ganbench.spec import OFF, RunSpec

__all__ = ["Part", "Plan", "make_part", "make_plan"]

# How many arguments the harness itself passes to a factory of each kind, before the options.
GIVEN_BY_HARNESS = {"generator": 2, "discriminator": 1, "optimizer": 1, "schedule": 2, "data": 1}

# What changes no result: where things are read and written, where data lie, how steps are launched,
# and how often state is saved.
_WHERE_AND_WHEN = {"data_root", "extractor_weights", "checkpoint_every", "device"}
_NOT_HASHED = _WHERE_AND_WHEN | {"feed", "cuda_graph", "tape"}


@dataclass(frozen=True)
class Part:
    """A component with all of its options: those given, and the factory's defaults."""

    registered: Registered
    given: Mapping[str, Any]
    options: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        return self.registered.name

    @property
    def label(self) -> str:
        return f"{self.registered.kind} '{self}'"

    def create(self, *args: Any) -> Any:
        """Call the factory. A bad value that only the factory can tell is the user's mistake."""
        try:
            return self.registered.factory(*args, **self.given)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.label}: {error}") from error

    def identity(self) -> dict[str, Any]:
        plugin = self.registered.plugin
        return {
            "name": self.name,
            "package": plugin.dist,
            "version": plugin.version,
            "options": json.loads(json.dumps(self.options, default=repr)),
        }

    def __str__(self) -> str:
        """As a user would write it: the options that differ from the defaults."""
        changed = {k: v for k, v in self.given.items() if v != self.options_default.get(k, _UNSET)}
        return format_component(self.name, changed)

    @property
    def options_default(self) -> Mapping[str, Any]:
        return {
            name: option.default
            for name, option in options_of(
                self.registered.factory, GIVEN_BY_HARNESS.get(self.registered.kind, 0)
            ).items()
        }


_UNSET = object()


@dataclass(frozen=True)
class Plan:
    """A run that can start: `spec` with every default filled in, and the parts it names."""

    spec: RunSpec
    generator: Part
    discriminator: Part
    loss: tuple[Part, ...]
    opt_g: Part
    opt_d: Part
    schedule: Part
    rule: Part
    data: Part
    metrics: tuple[Part, ...]
    extractor: Part

    def parts(self) -> dict[str, list[Part]]:
        """Every part under the spec's name for it."""
        return {
            "generator": [self.generator],
            "discriminator": [self.discriminator],
            "loss": list(self.loss),
            "opt_g": [self.opt_g],
            "opt_d": [self.opt_d],
            "schedule": [self.schedule],
            "rule": [self.rule],
            "data": [self.data],
            "metrics": list(self.metrics),
            "extractor": [self.extractor],
        }

    def identity(self) -> dict[str, Any]:
        """Everything that can change the result, the versions of the packages included."""
        off = {name for name, value in OFF.items() if getattr(self.spec, name) == value}
        settings = self.spec.model_dump(mode="json", exclude={*_NOT_HASHED, *off, *self.parts()})
        parts = {key: [part.identity() for part in parts] for key, parts in self.parts().items()}
        weights = self.extractor.options.get("weights")
        for part in parts["extractor"]:
            part["options"].pop("weights", None)  # what counts is the file's content
        return {
            "settings": settings,
            "parts": parts,
            "device": self.spec.device.partition(":")[0],
            "extractor_weights_sha256": sha256_of_file(Path(weights)) if weights else None,
            "torch": _version("torch"),
        }

    @cached_property
    def spec_sha256(self) -> str:
        text = json.dumps(self.identity(), sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def run_id(self) -> str:
        spec = self.spec
        opts = spec.opt_g if spec.opt_g == spec.opt_d else f"{spec.opt_g}~{spec.opt_d}"
        words = [spec.generator, spec.loss, opts, self.data.name, f"s{spec.seed}"]
        readable = "-".join(words)
        for char in readable:
            if not (char.isalnum() or char in "-+.~="):
                readable = readable.replace(char, "_")
        return f"{readable[:100]}-{self.spec_sha256[:10]}"


def make_plan(spec: RunSpec, registry: Registry) -> Plan:
    """Find and check every part. Raises `UsageError` that names the value and the remedy."""
    from ganbench.devices import resolve_device

    ranks = settled_ranks(spec.ranks, spec.sync_batch_norm)
    spec = _with_suggestions(spec, registry)
    spec, rule = _settle_n_dis(spec, registry)
    loss = tuple(make_part(registry, "loss", one) for one in parse_sum(spec.loss))
    names = [part.name for part in loss]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"loss '{spec.loss}' names '{name}' twice: add their weights instead")

    def one(kind: str, text: str) -> Part:
        return make_part(registry, kind, parse_component(text))

    parts = {
        "generator": one("generator", spec.generator),
        "discriminator": one("discriminator", spec.discriminator),
        "opt_g": one("optimizer", spec.opt_g),
        "opt_d": one("optimizer", spec.opt_d),
        "schedule": one("schedule", spec.schedule),
        "data": one("data", spec.data),
        "extractor": _extractor(registry, spec),
    }
    metrics = tuple(one("metric", text) for text in spec.metrics)
    texts = {key: str(part) for key, part in parts.items() if key != "extractor"}
    canonical = spec.model_copy(
        update={
            **texts,
            "rule": str(rule),
            "loss": "+".join(map(str, loss)),
            "metrics": tuple(map(str, metrics)),
            "device": resolve_device(spec.device),
            **ranks,
        }
    )
    return Plan(canonical, loss=loss, rule=rule, metrics=metrics, **parts)


def make_part(registry: Registry, kind: str, component: Component) -> Part:
    """The component with its options checked. Raises `UsageError` if either is unknown."""
    registered = registry.find(kind, component.name)
    options = options_of(registered.factory, GIVEN_BY_HARNESS.get(kind, 0))
    given = check_options(f"{kind} '{component.name}'", options, component.options)
    defaults = {name: option.default for name, option in options.items() if not option.required}
    return Part(registered, given, {**defaults, **given})


def _extractor(registry: Registry, spec: RunSpec) -> Part:
    component = parse_component(spec.extractor)
    weights = spec.extractor_weights
    if weights is not None:
        if not weights.is_file():
            raise UsageError(f"extractor_weights is '{weights}', which is not a file")
        component = Component(component.name, {**component.options, "weights": str(weights)})
    return make_part(registry, "extractor", component)


def _with_suggestions(spec: RunSpec, registry: Registry) -> RunSpec:
    """Fill settings the user left open with what the chosen data set and optimizers suggest
    (a factory's `run_defaults`), and hold the user to what they require (`run_requires`)."""
    given = set(spec.model_fields_set)
    for key, kind in (("data", "data"), ("opt_g", "optimizer"), ("opt_d", "optimizer")):
        text = getattr(spec, key)
        factory = registry.find(kind, parse_component(text).name).factory
        requires = dict(getattr(factory, "run_requires", {}))
        for name, value in requires.items():
            if name in given and getattr(spec, name) != value:
                raise IncompatibleParts(
                    f"{kind} '{text}' needs {name}={value}, but {name} is {getattr(spec, name)}"
                )
        suggested = {**getattr(factory, "run_defaults", {}), **requires}
        fresh = {name: value for name, value in suggested.items() if name not in given}
        if fresh:
            explicit = {name: getattr(spec, name) for name in spec.model_fields_set}
            spec = RunSpec(**{**explicit, **fresh})
            given |= requires.keys()
    return spec


def _settle_n_dis(spec: RunSpec, registry: Registry) -> tuple[RunSpec, Part]:
    """`--n-dis 5` and `--rule alternating:n_dis=5` are the same choice."""
    component = parse_component(spec.rule)
    part = make_part(registry, "rule", component)
    in_rule, in_spec = part.given.get("n_dis"), "n_dis" in spec.model_fields_set
    if "n_dis" not in part.options:
        if in_spec and spec.n_dis != 1:
            raise IncompatibleParts(f"{part.label} has no n_dis, but n_dis is {spec.n_dis}")
        return spec, part
    if in_rule is not None and in_spec and in_rule != spec.n_dis:
        raise UsageError(f"n_dis is {spec.n_dis}, but {part.label} says {in_rule}: give it once")
    n_dis = spec.n_dis if in_rule is None and in_spec else part.options["n_dis"]
    options = {**component.options, "n_dis": n_dis}
    part = make_part(registry, "rule", Component(component.name, options))
    return spec.model_copy(update={"n_dis": n_dis}), part


@lru_cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
