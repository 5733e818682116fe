"""ganbench with settings of its fast path that change the bits: G runs once a step, and D scores
both batches at once where it has no batch statistics, or images lie channels last. Products in
float32 are oneDNN's, where this CPU lets it make them."""

from __future__ import annotations

from work import Work

from contenders.harness import Harness
from ganbench.errors import IncompatibleParts

SETTINGS = {
    "mlp": {"share_latents": True, "joint_batch": True, "onednn": True},
    "dcgan": {"share_latents": True, "channels_last": True},
}


def contender(work: Work, precision: str) -> Harness:
    fast = SETTINGS[work.network]
    try:
        return Harness(work, precision, **fast)
    except IncompatibleParts:
        return Harness(work, precision, **{**fast, "onednn": False})
