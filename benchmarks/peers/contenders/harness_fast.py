"""ganbench with settings of its fast path that change the bits: G runs once a step, and D scores
both batches at once where it has no batch statistics, or images lie channels last."""

from __future__ import annotations

from work import Work

from contenders.harness import Harness

SETTINGS = {
    "mlp": {"share_latents": True, "joint_batch": True},
    "dcgan": {"share_latents": True, "channels_last": True},
}


def contender(work: Work, precision: str) -> Harness:
    return Harness(work, precision, **SETTINGS[work.network])
