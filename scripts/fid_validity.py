"""Measure what a distance of the embedded extractor means, and write the tables of docs/fid.md.

    python scripts/fid_validity.py --docs docs/fid.md

Known damage is done to the 10,000 Fashion-MNIST test images, and each set is compared with all
60,000 training images: by the shipped weights, and by a network of the same form with random
weights. A distance that grows with the damage proves little, since random weights show that
too; what counts is how far the damage rises over the floor, the clean test set's distance.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from ganbench.builtin.datasets import fashion_mnist, fashion_mnist_10k
from ganbench.builtin.extractors import fmnist_cnn_v1
from ganbench.builtin.fashion_cnn import FashionCNN
from ganbench.evaluation import extract
from ganbench.files import write_text
from ganbench.frechet import frechet_distance, frechet_infinity, moments_of, triangular_root
from ganbench.neighbours import density_and_coverage, precision_and_recall
from ganbench.protocols import Data
from ganbench.streams import generator

BEGIN, END = "<!-- validity: begin -->", "<!-- validity: end -->"
CPU = torch.device("cpu")
SEED = 0


def noisy(x: Tensor, deviation: float) -> Tensor:
    """Gaussian noise of `deviation` on pixels in [0, 1]."""
    noise = torch.randn(x.shape, generator=generator(SEED, "noise")) * deviation * 255
    return (x.float() + noise).round().clamp(0, 255).to(torch.uint8)


def blurred(x: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur of `deviation` pixels."""
    size = 2 * round(3 * deviation) + 1
    return gaussian_blur(x, [size, size], [deviation, deviation])


def damages(test: Data) -> dict[str, Tensor]:
    """Sets of images by name, the undamaged one first."""
    x, labels = test.x, test.labels
    assert labels is not None
    sets = {"clean test images (the floor)": x}
    sets |= {f"noise, σ = {s}": noisy(x, s) for s in (0.05, 0.1, 0.2, 0.4)}
    sets |= {f"blur, σ = {s} px": blurred(x, s) for s in (0.5, 1.0, 2.0)}
    sets |= {f"without {k} of 10 classes": x[labels >= k] for k in (1, 2, 3, 4, 5)}
    uniform = torch.randint(0, 256, x.shape, dtype=torch.uint8, generator=generator(SEED, "x"))
    sets["uniform noise, no garment"] = uniform
    sets["one black picture, repeated"] = torch.zeros_like(x)
    return sets


def random_weights() -> nn.Module:
    """The extractor with torch's default initialisation."""
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(SEED)
        weights = {name: value.contiguous() for name, value in FashionCNN().state_dict().items()}
        save_file(weights, Path(folder) / "random.safetensors")
        return fmnist_cnn_v1(str(Path(folder) / "random.safetensors"))


def distances(extractor: nn.Module, real: Tensor, sets: dict[str, Tensor]) -> list[float]:
    """Each set's Fréchet distance to the real features."""
    moments = moments_of(real)
    root = triangular_root(moments.covariance)
    return [
        frechet_distance(moments, moments_of(extract(extractor, x, CPU)), root_a=root)
        for x in sets.values()
    ]


def damage_table(trained: list[float], untrained: list[float], sets: dict[str, Tensor]) -> str:
    rows = [
        "| Images compared with the 60,000 | n | distance | × floor | × floor, random weights |",
        "|---|---|---|---|---|",
    ]
    for (name, x), distance, other in zip(sets.items(), trained, untrained, strict=True):
        over, other_over = distance / trained[0], other / untrained[0]
        numbers = f"{distance:.3g} | {_readable(over)} | {_readable(other_over)}"
        rows.append(f"| {name} | {len(x):,} | {numbers} |")
    return "\n".join(rows)


def _readable(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}"


def bias_table(real: Tensor, test: Tensor) -> str:
    """The floor at several n: means over draws without replacement from the test features."""
    moments = moments_of(real)
    root = triangular_root(moments.covariance)
    draws = generator(SEED, "bias")

    def mean(n: int, distance: Callable[[Tensor], float], times: int) -> float:
        picks = (torch.randperm(len(test), generator=draws)[:n] for _ in range(times))
        return sum(distance(test[pick]) for pick in picks) / times

    def at_n(some: Tensor) -> float:
        return frechet_distance(moments, moments_of(some), root_a=root)

    def at_infinity(some: Tensor) -> float:
        return frechet_infinity(moments, some, draws=draws, root_a=root)

    rows = ["| n test images | distance | `fid-infinity` | draws |", "|---|---|---|---|"]
    for n, times in ((250, 20), (1000, 20), (5000, 20), (len(test), 1)):
        finite, infinite = mean(n, at_n, times), mean(n, at_infinity, times)
        rows.append(f"| {n:,} | {finite:.3g} | {infinite:.2g} | {times} |")
    return "\n".join(rows)


def duplicates_table(real: Tensor, test: Tensor) -> str:
    """As many features as there are test images, of which fewer and fewer are distinct."""
    real = real[: len(test)]
    moments = moments_of(real)
    rows = [
        "| distinct of 10,000 | distance | precision | recall | density | coverage |",
        "|---|---|---|---|---|---|",
    ]
    for distinct in (len(test), 1000, 100):
        fake = test[:distinct].repeat(len(test) // distinct, 1)
        distance = frechet_distance(moments, moments_of(fake))
        shares = *precision_and_recall(fake, real, 3), *density_and_coverage(fake, real, 5)
        rows.append(
            f"| {distinct:,} | {distance:.3g} | "
            + " | ".join(f"{share:.3f}" for share in shares)
            + " |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--docs", type=Path, help=f"Markdown file to fill between {BEGIN} and end")
    parser.add_argument("--data-root", type=Path, help="folder of the four idx.gz files")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    real, test = fashion_mnist(options.data_root).x, fashion_mnist_10k(None)
    trained, untrained = fmnist_cnn_v1(), random_weights()
    sets = damages(test)
    features = extract(trained, real, CPU)
    of_test = extract(trained, test.x, CPU)
    with_trained = distances(trained, features, sets)
    with_untrained = distances(untrained, extract(untrained, real, CPU), sets)
    parts = [
        f"Extractor fmnist-cnn-v1, weights {trained.sha256[:12]}…; seed {SEED}.",
        damage_table(with_trained, with_untrained, sets),
        "The floor at smaller n, and what is left of it after extrapolation to infinite n:",
        bias_table(features, of_test),
        "Duplicates, against the first 10,000 training images:",
        duplicates_table(features, of_test),
    ]
    text = "\n\n".join(parts)
    print(text)
    if options.docs:
        page = options.docs.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        _, found, tail = rest.partition(END)
        if not found:
            parser.error(f"{options.docs} has no {BEGIN} … {END}")
        write_text(options.docs, f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    main()
