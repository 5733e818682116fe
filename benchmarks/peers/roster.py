"""Who is measured, against what, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass

from environments import Environment
from work import Work

__all__ = ["BARS", "CONTENDERS", "HARNESS", "WORKS", "Bar", "Entry"]


HERE = Environment("here")


@dataclass(frozen=True)
class Entry:
    """A contender: its module in `contenders/`, its precision, and its environment."""

    key: str
    label: str
    module: str
    precision: str = "fp32"
    environment: Environment = HERE
    # The ways of the harness it is compared with; a peer is measured as its users run it.
    against: tuple[str, ...] = ("fp32", "bf16", "fp32 fast", "bf16 fast")


HARNESS = {
    way: Entry(f"ganbench-{way.replace(' ', '-')}", f"ganbench, {way}", module, way[:4])
    for way, module in (
        ("fp32", "harness"),
        ("bf16", "harness"),
        ("fp32 fast", "harness_fast"),
        ("bf16 fast", "harness_fast"),
    )
}

CONTENDERS = [
    Entry("tutorial", "tutorial-style loop (PyTorch-GAN)", "tutorial"),
    Entry(
        "torchgan",
        "torchgan 0.1.0, Trainer",
        "torchgan_trainer",
        environment=Environment("torchgan", ("torchgan==0.1.0",)),
    ),
    Entry(
        "mimicry",
        "torch-mimicry 0.1.16, Trainer",
        "mimicry_trainer",
        environment=Environment(
            "mimicry",
            # What it needs to be imported, without TensorFlow and its own test tools.
            ("tensorboard", "scikit-image", "requests", "lmdb", "six", "future", "scikit-learn"),
            bare=("torch-mimicry==0.1.16",),
        ),
    ),
    Entry(
        "lightning",
        "PyTorch Lightning 2.6.6, GAN recipe",
        "lightning_recipe",
        environment=Environment("lightning", ("lightning==2.6.6",)),
    ),
    Entry("tuned-fp32", "loop tuned by hand, fp32", "tuned", "fp32", against=("fp32",)),
    Entry("tuned-bf16", "loop tuned by hand, bf16", "tuned", "bf16", against=("bf16",)),
]

WORKS = [Work(network, size) for network in ("mlp", "dcgan") for size in (64, 128)]


@dataclass(frozen=True)
class Bar:
    """ganbench at `precision` shall be at least `least` times as fast as `contender`, by default or
    with fast settings."""

    contender: str
    precision: str
    least: float
    networks: tuple[str, ...] = ("mlp", "dcgan")


BARS = [
    Bar("tutorial", "fp32", 1.35, ("mlp",)),
    Bar("tutorial", "bf16", 2.8, ("mlp",)),
    Bar("torchgan", "fp32", 1.8),
    Bar("torchgan", "bf16", 3.0),
    Bar("mimicry", "fp32", 1.8),
    Bar("mimicry", "bf16", 3.0),
    Bar("tuned-fp32", "fp32", 1.0),
    Bar("tuned-bf16", "bf16", 1.0),
]
