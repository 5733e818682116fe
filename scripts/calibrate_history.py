"""How often noise alone gives a change point, and how often a change is found.

    python scripts/calibrate_history.py [--series 400]

Simulated series of several lengths, 2 % of noise of three laws, flat and with a step in the middle.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from ganbench.history.changes import PENALTY, change_points

NOISE = 0.02
LAWS = {
    "normal": lambda draws, n: draws.normal(size=n),
    "Laplace": lambda draws, n: draws.laplace(scale=1 / math.sqrt(2), size=n),
    "Student t, 3 degrees": lambda draws, n: draws.standard_t(3, n) / math.sqrt(3),
}


def share(series: int, n: int, law, step: float) -> float:
    """The share of series that have any change point; with a step, of those cut within 3 of it."""
    draws, found = np.random.default_rng(n), 0
    for _ in range(series):
        x = NOISE * law(draws, n)
        x[n // 2 :] += step
        cuts = [change.index for change in change_points(np.exp(x))]
        found += any(abs(cut - n // 2) <= 3 for cut in cuts) if step else bool(cuts)
    return found / series


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=400)
    series = parser.parse_args().series
    print(f"penalty {PENALTY}, {series} series a cell, noise {NOISE:.0%}\n")
    print("| law of the noise | commits | flat | step of 3 % | step of 6 % |")
    print("|---|---:|---:|---:|---:|")
    for name, law in LAWS.items():
        for n in (12, 30, 100):
            cells = [share(series, n, law, step) for step in (0.0, 0.03, 0.06)]
            print(f"| {name} | {n} | " + " | ".join(f"{cell:.1%}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
