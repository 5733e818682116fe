"""Cards of combinations whose behaviour is proven, as the table of docs/card.md.

    python scripts/card_table.py --doc docs/card.md

Each line's truth is a closed form; its predicted and measured rates and its verdict are what
`ganbench card` prints for that loss, optimizer and rule. The table between the markers is
rewritten, and one line that disagrees ends the script with an error.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from math import hypot
from pathlib import Path

import numpy as np
import pandas as pd

from ganbench.card import GameResult, make_card

BEGIN, END = "<!-- card: begin -->", "<!-- card: end -->"


@dataclass(frozen=True, slots=True)
class Case:
    """One game under one combination. rate: the closed form's value, or None without one."""

    game: str
    loss: str
    opt: str
    rule: str
    truth: str
    rate: float | None
    verdict: str


def largest_root(*coefficients: complex) -> float:
    """|λ| of the largest root of a polynomial."""
    return float(np.abs(np.roots(coefficients)).max())


def omd(eta: float) -> float:
    return largest_root(1, -(1 - 2j * eta), -1j * eta)


def momentum(eta: float, beta: float, power: int) -> float:
    """The largest root of (λ − 1)²(λ − β)² + η²λ^power."""
    square = np.polymul([1, -1], [1, -beta])
    polynomial = np.polymul(square, square)
    polynomial[-1 - power] += eta**2
    return largest_root(*polynomial)


def lookahead(eta: float, k: int, alpha: float) -> float:
    """|1 − α + αμᵏ|^(1/k), μ² − (2 − η²)μ + 1 = 0: alternating steps, taken back every k."""
    mu = np.roots([1, eta**2 - 2, 1])[0]
    return float(abs(1 - alpha + alpha * mu**k) ** (1 / k))


def explicit(h: float, damping: float, rotation: float) -> float:
    """max |1 + hλ| over λ = −damping/2 ± √(damping²/4 − rotation²)."""
    root = np.emath.sqrt(damping**2 / 4 - rotation**2)
    return float(max(abs(1 + h * (-damping / 2 + sign * root)) for sign in (1, -1)))


def alternating_r1(h: float, gamma: float) -> float:
    """ψ' = ψ − h(θ/2 + γψ), θ' = θ + hψ'/2."""
    step = [[1 - h * gamma, -h / 2], [h / 2 * (1 - h * gamma), 1 - h**2 / 4]]
    return float(np.abs(np.linalg.eigvals(step)).max())


OMD = "λ² − (1 − 2iη)λ − iη = 0"
CASES = (
    Case("bilinear", "wgan", "sgd:lr=0.2", "simultaneous", "√(1 + η²)", hypot(1, 0.2), "diverges"),
    Case("bilinear", "wgan", "sgd:lr=0.2", "alternating", "1 for η < 2", 1.0, "orbits"),
    Case(
        "bilinear", "wgan", "sgd:lr=0.2", "extragradient",
        "√(1 − η² + η⁴)", math.sqrt(1 - 0.2**2 + 0.2**4), "converges",
    ),
    Case(
        "bilinear", "wgan", "sgd:lr=1.1", "extragradient",
        "√(1 − η² + η⁴)", math.sqrt(1 - 1.1**2 + 1.1**4), "diverges",
    ),
    Case("bilinear", "wgan", "omd:lr=0.2", "simultaneous", OMD, omd(0.2), "converges"),
    Case("bilinear", "wgan", "omd:lr=0.6", "simultaneous", OMD, omd(0.6), "diverges"),
    Case(
        "bilinear", "wgan", "sgd:lr=0.5", "extragradient-past", OMD, math.sqrt(0.5), "converges"
    ),
    Case(
        "bilinear", "wgan", "sgd:lr=0.5,momentum=-0.5", "alternating",
        "(λ − 1)²(λ − β)² + η²λ³ = 0", momentum(0.5, -0.5, 3), "converges",
    ),
    Case(
        "bilinear", "wgan", "sgd:lr=0.2,momentum=-0.5", "simultaneous",
        "(λ − 1)²(λ − β)² + η²λ² = 0", momentum(0.2, -0.5, 2), "diverges",
    ),
    Case(
        "bilinear", "wgan", "sgd:lr=0.2", "lookahead-minimax:k=5,alpha=0.5",
        "│1 − α + αμᵏ│^(1/k), μ² − (2 − η²)μ + 1 = 0", lookahead(0.2, 5, 0.5), "converges",
    ),
    Case(
        "bilinear", "wgan", "sgd:lr=0.1", "unrolled:k=5",
        "√(1 − 2kη²)", math.sqrt(1 - 10 * 0.1**2), "converges",
    ),
    Case("dirac", "minimax", "sgd:lr=0.2", "simultaneous", "│1 ± ih/2│", hypot(1, 0.1), "diverges"),
    Case("dirac", "minimax", "sgd:lr=0.2", "alternating", "1", 1.0, "orbits"),
    Case(
        "dirac", "nonsat", "sgd:lr=0.2", "alternating",
        "1; d(θ² + ψ²)/dt = −2ψθ tanh(ψθ/2) ≤ 0", 1.0, "converges",
    ),
    Case(
        "dirac", "minimax+r1:gamma=0.3", "sgd:lr=0.2", "simultaneous",
        "│1 + hλ│, λ = −γ/2 ± √(γ²/4 − ¼)", explicit(0.2, 0.3, 0.5), "converges",
    ),
    Case(
        "dirac", "nonsat+r1:gamma=1.5", "sgd:lr=0.2", "simultaneous",
        "│1 + hλ│, λ = −γ/2 ± √(γ²/4 − ¼)", explicit(0.2, 1.5, 0.5), "converges",
    ),
    Case(
        "dirac", "nonsat+r1:gamma=0.3", "sgd:lr=0.2", "alternating",
        "of ψ' = ψ − h(θ/2 + γψ), θ' = θ + hψ'/2", alternating_r1(0.2, 0.3), "converges",
    ),
    Case("dirac", "wgan", "sgd:lr=0.1", "alternating", "1", 1.0, "orbits"),
    Case(
        "dirac", "wgan+clip:c=0.1", "sgd:lr=0.2", "simultaneous",
        "√(1 + h²) while │ψ│ < c, then bounded", hypot(1, 0.2), "orbits",
    ),
    Case(
        "dirac", "wgan+wgan-gp:weight=1.0", "sgd:lr=0.1", "alternating",
        "none: ψ = 0 is a kink; rests at θ = ±2λ", None, "stalls",
    ),
    Case(
        "dirac", "wgan+consensus:gamma=1.0", "sgd:lr=0.1", "simultaneous",
        "√((1 − hγ)² + h²)", hypot(0.9, 0.1), "converges",
    ),
    Case(
        "overlap", "minimax", "sgd:lr=0.2", "simultaneous",
        "│1 + hλ│, λ = −¼ ± √(1/16 − ¼)", explicit(0.2, 0.5, 0.5), "converges",
    ),
    Case("overlap", "wgan", "sgd:lr=0.1", "alternating", "1", 1.0, "orbits"),
)  # fmt: skip


def play(case: Case, steps: int = 600) -> GameResult:
    """The case's line of its card."""
    card = make_card(case.loss, case.opt, case.rule, steps=steps, games=[case.game])
    return card.games[0]


def disagreement(case: Case, result: GameResult) -> str:
    """How a card differs from the truth; empty where it does not."""
    if result.verdict != case.verdict:
        return f"verdict {result.verdict} instead of {case.verdict}"
    if (result.predicted_rate is None) != (case.rate is None):
        return f"predicted {result.predicted_rate} instead of {case.rate}"
    if case.rate is not None and abs(result.predicted_rate - case.rate) > 1e-6:
        return f"predicted {result.predicted_rate:.9f} instead of {case.rate:.9f}"
    return ""


def table(steps: int) -> str:
    """All cases as Markdown."""
    rows = []
    for case in CASES:
        result = play(case, steps)
        if wrong := disagreement(case, result):
            raise SystemExit(f"{case}: {wrong}")
        rows.append(row(case, result))
        print(rows[-1], flush=True)
    return str(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


def row(case: Case, result: GameResult) -> dict[str, str]:
    said = f"{case.verdict}; {result.remark}" if result.remark else case.verdict
    return {
        "game": case.game,
        "loss": f"`{case.loss}`",
        "optimizer": f"`{case.opt}`",
        "rule": f"`{case.rule}`",
        "truth": case.truth,
        "its value": rate(case.rate),
        "predicted": rate(result.predicted_rate),
        "measured": rate(result.measured_rate),
        "verdict": said,
    }


def rate(value: float | None) -> str:
    return "—" if value is None else f"{value:.5f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--doc", type=Path, default=Path("docs/card.md"))
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args()
    made = table(options.steps)
    text = options.doc.read_text(encoding="utf-8")
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    options.doc.write_text(f"{head}{BEGIN}\n{made}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
