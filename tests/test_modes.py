"""Training on a ring of eight Gaussians, to its end: which modes the samples reach, over seeds."""

from __future__ import annotations

import pytest

from ganbench import RunSpec, run

SEEDS = range(3)


def modes_covered(out, loss: str, **more) -> list[float]:
    """By seed, how many of the eight modes 2,500 samples reach."""
    spec = RunSpec(
        loss=loss,
        opt="adam:lr=1e-3",
        data="ring8",
        generator="mlp:hidden=[64,64]",
        discriminator="mlp:hidden=[64,64]",
        metrics="mode-coverage",
        batch_size=256,
        n_samples=2500,
        device="cpu",
        threads=1,
        **more,
    )
    records = [run(spec.model_copy(update={"seed": seed}), out=out) for seed in SEEDS]
    return [record.evaluated.values["modes_covered"] for record in records if record.evaluated]


@pytest.mark.slow
def test_every_seed_of_a_regularised_game_covers_the_ring(tmp_path):
    assert modes_covered(tmp_path, "nonsat+r1:gamma=0.1", steps=2000) == [8, 8, 8]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_wasserstein_game_with_a_trained_critic_covers_the_ring(tmp_path):
    found = modes_covered(tmp_path, "wgan+wgan-gp:weight=1", steps=2000, n_dis=5)
    assert found == [8, 8, 8]


@pytest.mark.slow
def test_a_generator_that_descends_the_wrong_sign_covers_nothing(tmp_path):
    assert modes_covered(tmp_path, "nonsat-negated", steps=1000) == [0, 0, 0]
