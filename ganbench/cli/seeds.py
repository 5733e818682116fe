"""`ganbench run --seeds 0..7`: one spec, several seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganbench.cli.flags import RunFlags
from ganbench.errors import UsageError

if TYPE_CHECKING:
    from ganbench.spec import RunSpec

__all__ = ["specs_of"]


def specs_of(flags: RunFlags, seeds: str | None) -> list[RunSpec]:
    """The spec that the flags say, once for each of `seeds`: `0..7`, `0,3,5`."""
    spec = flags.spec()
    if seeds is None:
        return [spec]
    if "seed" in spec.model_fields_set:
        raise UsageError(f"--seeds is {seeds}, and seed is {spec.seed}: give one of them")
    from ganbench.spec import RunSpec
    from ganbench.sweep.axes import values_of

    given = {name: getattr(spec, name) for name in spec.model_fields_set}
    return [RunSpec(**{**given, "seed": seed}) for seed in values_of("seed", seeds)]
