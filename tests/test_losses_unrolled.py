"""Losses under the unrolled rule, which scores with weights that D does not have yet."""

from __future__ import annotations

import pytest
import torch

from ganbench.errors import IncompatibleParts

AUTOENCODER = "autoencoder:width=2,embedding=2"


@pytest.mark.parametrize("loss", ["ebgan", "began", "nonsat+ortho:weight=1.0"])
def test_an_unrolled_loss_that_reads_the_network_sees_its_unrolled_weights(play, loss):
    def g_gradients(k: int) -> torch.Tensor:
        game, rule = play(
            data="gaussian:dim=2" if "ortho" in loss else "fashion-mnist-10k",
            loss=loss,
            generator="mlp:hidden=[4]",
            discriminator="mlp:hidden=[4]" if "ortho" in loss else AUTOENCODER,
            rule=f"unrolled:k={k}",
            batch_size=8,
            opt="sgd:lr=0.1",
        )
        game.play(rule)
        return torch.cat([p.detach().flatten() for p in game.generator.parameters])

    assert not torch.equal(g_gradients(0), g_gradients(2))


def test_unrolling_a_penalty_through_batch_norm_is_refused_with_what_would_fit(
    play, batch_norm_has_third_derivatives
):
    if batch_norm_has_third_derivatives:
        pytest.skip("this torch differentiates batch norm three times")
    game, rule = play(
        loss="nonsat+r1",
        generator="mlp:hidden=[4]",
        discriminator="dcgan:width=2",
        rule="unrolled:k=1",
        batch_size=4,
        opt="sgd:lr=0.1",
    )
    with pytest.raises(IncompatibleParts, match=r"'unrolled'.*without batch normalisation"):
        game.play(rule)
