"""The convergence card against games solved on paper, through registry, game, rule and optimizer.

The closed forms of the proven cases, with their sources, are in scripts/card_table.py and docs.
"""

from __future__ import annotations

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_packages import fake_package
from torch.func import functional_call

from ganbench.card import make_card
from ganbench.card.draw import draw_card
from ganbench.card.dynamics import linearise
from ganbench.card.games import GAMES, Setup, plan_of, start
from ganbench.card.trajectories import follow, measured_rate
from ganbench.card.verdict import judge
from ganbench.discovery import Settings, find_sources
from ganbench.errors import IncompatibleParts, UsageError
from ganbench.loss_sum import combine
from ganbench.registry import Registry
from ganbench.streams import isolated

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "card_table.py"))
GAME = {one.name: one for one in GAMES}


@pytest.fixture
def in_float64():
    torch.set_default_dtype(torch.float64)
    with isolated(0):
        yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def linear(in_float64, registry):
    """linear(game, loss, opt, rule) -> its linearisation at the equilibrium."""

    def of(game, loss, opt, rule, registry=registry):
        return linearise(*start(GAME[game], Setup(loss, opt, opt, rule), registry, 0.0, 0.0))

    return of


def spiral(rate, steps=1000, angle=0.3, r=1.0):
    """r·rateᵗ at angle·t: (steps + 1, 2)."""
    t = np.arange(steps + 1)
    return np.stack([r * rate**t * np.cos(angle * t), r * rate**t * np.sin(angle * t)], axis=1)


# --- proven cases ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", SCRIPT["CASES"], ids=lambda c: f"{c.game}-{c.loss}-{c.opt}-{c.rule}"
)
def test_a_proven_case_has_its_rate_and_its_verdict(case):
    assert SCRIPT["disagreement"](case, SCRIPT["play"](case, steps=400)) == ""


def test_the_docs_hold_every_proven_case_with_its_rate():
    text = (ROOT / "docs" / "card.md").read_text(encoding="utf-8")
    rows = text.split(SCRIPT["BEGIN"])[1].split(SCRIPT["END"])[0].strip().splitlines()[2:]
    assert len(rows) == len(SCRIPT["CASES"])
    for case, line in zip(SCRIPT["CASES"], rows, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rate = SCRIPT["rate"](case.rate)
        assert cells[:4] == [case.game, *(f"`{t}`" for t in (case.loss, case.opt, case.rule))]
        assert cells[5:7] == [rate, rate]
        assert cells[8].split(";")[0] == case.verdict


# --- the predicted rate ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss", ["minimax", "nonsat+r1:gamma=0.3", "rpgan+r2:gamma=0.7", "ralsgan", "f-gan"]
)
@pytest.mark.parametrize("game", ["dirac", "overlap"])
def test_the_jacobian_of_an_sgd_step_is_the_one_of_automatic_differentiation(
    game, loss, linear, registry
):
    # One simultaneous step is w − h(∂L_G/∂θ, ∂L_D/∂ψ), so M = I − h·∂(those)/∂w.
    h = 0.1
    found = linear(game, loss, f"sgd:lr={h}", "simultaneous")
    played, _ = start(GAME[game], Setup(loss, "sgd", "sgd", "joint"), registry, 0.0, 0.0)
    g, d = played.generator.module, played.discriminator.module
    parts = plan_of(Setup(loss, "sgd", "sgd", "joint"), registry).loss
    losses = combine([(part.name, part.create()) for part in parts])
    x_real = GAME[game].data()

    class Score:
        module = d

        def __call__(self, x):
            return functional_call(d, {"psi": psi}, x)

    theta, psi = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    x_fake = functional_call(g, {"theta": theta}, torch.zeros(len(x_real), 1))
    d_total = sum(losses.d_loss(Score(), x_real, x_fake).values())
    g_total = sum(losses.g_loss(Score(), x_real, x_fake).values())
    (of_g,) = torch.autograd.grad(g_total, theta, create_graph=True)
    (of_d,) = torch.autograd.grad(d_total, psi, create_graph=True)
    rows = [
        torch.autograd.grad(v, [theta, psi], retain_graph=True, materialize_grads=True)
        for v in (of_g, of_d)
    ]
    jacobian = np.eye(2) - h * np.array([[one.item() for one in row] for row in rows])
    expected = np.linalg.eigvals(jacobian)
    np.testing.assert_allclose(
        np.sort_complex(np.array(found.eigenvalues)), np.sort_complex(expected), atol=1e-9
    )


@pytest.mark.parametrize(
    ("loss", "rule", "period"),
    [
        ("minimax", "alternating", 1),
        ("minimax", "lookahead-minimax:k=3", 3),
        ("minimax+r1:every=4", "alternating", 4),
        ("minimax+r1:every=4", "lookahead-minimax:k=6", 12),
    ],
)
def test_an_update_that_repeats_itself_is_linearised_over_its_period(linear, loss, rule, period):
    found = linear("dirac", loss, "sgd:lr=0.1", rule)
    assert (found.period, found.reason) == (period, "")


def test_momentum_is_part_of_the_state(linear):
    # θ and ψ with a velocity each: four eigenvalues, the roots of (λ−1)²(λ−β)² + η²λ².
    found = linear("bilinear", "wgan", "sgd:lr=0.2,momentum=0.5", "simultaneous")
    square = np.polymul([1, -1], [1, -0.5])
    roots = np.roots(np.polyadd(np.polymul(square, square), [0.04, 0, 0]))
    np.testing.assert_allclose(
        sorted(map(abs, found.eigenvalues)), sorted(np.abs(roots)), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("loss", "opt", "why"),
    [
        ("minimax", "adam:lr=0.1", "no derivative"),
        ("minimax", "rmsprop:lr=0.1", "no derivative"),
        ("wgan+wgan-gp", "sgd:lr=0.1", "no derivative"),
        ("minimax+instance-noise", "sgd:lr=0.1", "not at rest"),
        ("minimax", "lbfgs", "makes new state"),
    ],
)
def test_an_update_without_a_linear_approximation_gets_no_rate_but_a_reason(linear, loss, opt, why):
    found = linear("dirac", loss, opt, "alternating")
    assert found.rate is None
    assert why in found.reason


PLUGIN = '''
"""An optimizer that is nobody's: SGD with its rate kept as a tensor beside a clock that doubles."""
import torch

class Odd(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {})
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {"rate": torch.tensor(lr), "clock": torch.tensor(1.0)}

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["clock"] *= 2
                p -= self.state[p]["rate"] * p.grad

def odd(module, lr: float = 0.1):
    """Odd SGD."""
    return Odd(module.parameters(), lr)

from ganbench.hookspecs import hookimpl

@hookimpl
def ganbench_optimizers():
    return {"odd": odd}
'''


def test_a_third_party_optimizer_gets_the_rate_of_what_it_does(linear, tmp_path, monkeypatch):
    # |1 ± ih/2| with h = 0.2. Its constant and its clock have eigenvalue 1 and no say in the rate.
    fake_package(tmp_path, "odd_optimizer", PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    setup = ("dirac", "minimax+r1:gamma=0.3", "odd:lr=0.2", "simultaneous")
    found = linear(*setup, registry=Registry(*find_sources(Settings())))
    assert found.rate == pytest.approx(0.9746794344808963, abs=1e-9)  # √(1 − 2·0.03 + 0.01)


# --- the measured rate and the verdict ------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.7, 0.98, 1.0, 1.01])
def test_the_rate_of_a_spiral_is_measured(rate):
    assert measured_rate(spiral(rate, r=1e-3), 1e-250) == pytest.approx(rate, rel=1e-9)


def test_a_path_that_slows_down_has_no_one_rate():
    r = 1e-2 / np.sqrt(1 + np.arange(1001))
    assert measured_rate(np.stack([r, 0 * r], axis=1), 1e-250) is None


def test_rounding_far_below_the_games_precision_is_not_measured():
    path = np.maximum(spiral(0.5, angle=0, r=1e-3), 1e-16)
    assert measured_rate(path, 1e-13) == pytest.approx(0.5)


ANGLE = 0.3 * np.arange(1001)
CIRCLE = np.stack([np.cos(ANGLE), np.sin(ANGLE)], axis=1)
SUBLINEAR = CIRCLE / np.sqrt(1 + np.arange(1001) / 100)[:, None]
TO_REST = np.stack([2 - 0.9 ** np.arange(1001), 0 * ANGLE], axis=1)


@pytest.mark.parametrize(
    ("predicted", "near", "far", "verdict"),
    [
        (0.99, spiral(0.99, r=1e-3), spiral(0.99), "converges"),
        (1.01, spiral(1.01, r=1e-3), spiral(1.01), "diverges"),
        (1.00005, spiral(1.00005, r=1e-3), spiral(1.00005), "diverges"),
        (1.01, spiral(1.01, r=1e-3), CIRCLE, "orbits"),
        (1.0, 1e-3 * CIRCLE, CIRCLE, "orbits"),
        (1.0, 1e-3 * CIRCLE, SUBLINEAR, "converges"),
        (1.0, 1e-3 * CIRCLE, TO_REST, "stalls"),
        (None, spiral(0.99, r=1e-3), spiral(0.99), "converges"),
        (None, 1e-3 * CIRCLE, SUBLINEAR, "undecided"),
        (None, spiral(1.005, r=1e-3), spiral(0.999), "orbits"),
        (None, spiral(1.01, r=1e-3), spiral(1.01), "diverges"),
        (None, spiral(1.01, r=1e-3), 1e7 * CIRCLE, "diverges"),
        (None, 1e-3 * CIRCLE, CIRCLE * np.nan, "diverges"),
        (1.0, 1e-3 * spiral(1.0, angle=1e-3), spiral(1.0, angle=1e-3), "undecided"),
    ],
)
def test_paths_have_the_verdict_that_they_show(predicted, near, far, verdict):
    assert judge(predicted, near, [far, far])[0] == verdict


def test_a_linear_rate_of_one_may_hide_slow_convergence():
    assert judge(1.0, 1e-3 * CIRCLE, [SUBLINEAR])[1] == "slower than any geometric rate"


def test_convergence_from_nearby_alone_is_said():
    assert "only from nearby" in judge(0.99, spiral(0.99, r=1e-3), [CIRCLE])[1]


def test_adam_spirals_out_of_the_bilinear_game():
    (game,) = make_card("wgan", "adam:lr=0.01", "alternating", steps=400, games=["bilinear"]).games
    assert (game.verdict, game.predicted_rate) == ("diverges", None)


def test_a_path_ends_where_it_leaves_all_bounds(in_float64, registry):
    setup = Setup("wgan", "sgd:lr=10", "sgd:lr=10", "simultaneous")
    path = follow(*start(GAME["bilinear"], setup, registry, 1.0, 0.0), 100)
    # r grows by √101 a step: 101³ > 10⁶.
    assert len(path) == 7
    assert math.hypot(*path[-1]) == pytest.approx(101**3)


# --- the card -------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["began", "ebgan", "nonsat+diffaug", "nonsat+ortho", "r1"])
def test_a_loss_that_no_game_can_play_is_refused_with_the_reason(loss):
    with pytest.raises(IncompatibleParts, match=r"D\(x\) = ψx") as refused:
        make_card(loss, "sgd", games=["dirac"])
    assert f"'{loss}'" in str(refused.value)


def test_a_game_that_one_part_cannot_play_is_a_line_and_not_the_end(registry, monkeypatch):
    from ganbench.card import make

    def only_bilinear_fails(one, *args):
        if one.name == "bilinear":
            raise RuntimeError("no")
        return real(one, *args)

    real = make.start
    monkeypatch.setattr(make, "start", only_bilinear_fails)
    games = make_card("minimax", "sgd", steps=100, games=["bilinear", "dirac"]).games
    assert [game.verdict is None for game in games] == [True, False]
    assert games[0].remark == "RuntimeError: no"


def test_an_unknown_part_or_game_and_too_few_steps_are_refused():
    for settings in ({"loss": "nonsatt"}, {"opt": "adam:lr=-1"}, {"rule": "alternate"}):
        with pytest.raises(UsageError):
            make_card(**settings)
    with pytest.raises(UsageError, match="did you mean 'dirac'"):
        make_card(games=["dirak"])
    with pytest.raises(UsageError, match="100 or more"):
        make_card(steps=99)


def test_a_card_leaves_torch_as_it_was():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    make_card("minimax", "sgd", steps=100, games=["bilinear"])
    assert torch.rand(1) == expected
    assert torch.get_default_dtype() == torch.float32


def test_a_card_is_a_function_of_its_parts():
    first, again = (
        make_card("minimax+instance-noise", "adam", steps=100, games=["dirac"]).games[0]
        for _ in range(2)
    )
    for path, other in zip(first.paths, again.paths, strict=True):
        np.testing.assert_array_equal(path, other)


@pytest.mark.parametrize(("suffix", "head"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_the_picture_is_of_the_kind_its_name_says(tmp_path, suffix, head):
    card = make_card("minimax", "sgd:lr=0.2", steps=100, games=["bilinear", "dirac"])
    draw_card(card, tmp_path / f"card{suffix}")
    assert (tmp_path / f"card{suffix}").read_bytes().startswith(head)


def test_the_picture_names_the_parts_and_the_verdicts(tmp_path):
    card = make_card("minimax+r1:gamma=1", "sgd:lr=0.2", "simultaneous", steps=100, games=["dirac"])
    draw_card(card, tmp_path / "card.svg")
    text = (tmp_path / "card.svg").read_text(encoding="utf-8")
    assert "minimax+r1:gamma=1.0  ·  sgd:lr=0.2  ·  simultaneous" in text
    assert "converges" in text


# --- the command ----------------------------------------------------------------------------------


def test_the_command_prints_a_line_for_each_game_and_draws_the_picture(ganbench_cli, tmp_path):
    out = tmp_path / "new" / "card.png"
    args = ("--opt", "sgd:lr=0.2", "--rule", "simultaneous", "--steps", 100, "--out", out)
    answer = ganbench_cli("card", "--loss", "minimax", *args)
    assert answer.code == 0
    lines = answer.out.splitlines()
    (bilinear,) = (line.split() for line in lines if "bilinear" in line)
    assert bilinear == ["bilinear", "(wgan)", "1.01980", "1.01980", "diverges"]
    assert [sum(name in line for line in lines) for name in ("dirac", "overlap")] == [1, 1]
    assert out.exists()


def test_the_command_prints_json_that_holds_the_rates(ganbench_cli, tmp_path):
    args = ("--opt", "sgd:lr=0.2", "--steps", 100, "--out", tmp_path / "card.png", "--json")
    answer = ganbench_cli("card", "--loss", "minimax", *args)
    card = json.loads(answer.out)
    assert [game["game"] for game in card["games"]] == [one.name for one in GAMES]
    assert card["games"][0]["predicted_rate"] == pytest.approx(1, abs=1e-9)
    assert card["picture"].endswith("card.png")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--loss", "began"], "needs a discriminator that reconstructs"),
        (["--loss", "nonsatt"], "did you mean 'nonsat'"),
        (["--out", "card.txt"], "let it end in .png"),
        (["--steps", "5"], "steps is 5"),
    ],
)
def test_a_mistake_is_one_message_and_draws_nothing(
    ganbench_cli, tmp_path, monkeypatch, args, message
):
    monkeypatch.chdir(tmp_path)
    answer = ganbench_cli("card", "--opt", "sgd", *args)
    assert answer.code == 2
    assert message in answer.err
    assert not list(tmp_path.iterdir())
