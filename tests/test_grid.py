"""Every loss × every rule × {sgd, adam}, on both networks: twenty finite steps."""

from __future__ import annotations

import pytest

from ganbench.registry import default_registry

REGISTRY = default_registry()
# What a term needs beside it: an adversarial loss to add to, or a discriminator that reconstructs.
NEEDS_A_GAME = {
    *("l1", "l2", "wgan-gp", "wgan-lp", "dragan", "r1", "r2", "clip", "consensus", "ortho"),
    *("consistency", "instance-noise", "diffaug", "ada"),
}
AUTOENCODER = {"began", "ebgan"}
GRADIENT_PENALTIES = {"wgan-gp", "wgan-lp", "dragan", "r1", "r2"}
IMAGES_ONLY = {"diffaug", "ada", "consistency", *AUTOENCODER}
NETWORKS = {
    "mlp": ("mlp:hidden=[8,8]", "mlp:hidden=[8,8]"),
    "dcgan": ("dcgan:width=2", "dcgan:width=2"),
}
RATES = {"sgd": "sgd:lr=1e-3", "adam": "adam"}


@pytest.mark.parametrize("network", ["mlp", pytest.param("dcgan", marks=pytest.mark.slow)])
@pytest.mark.parametrize("rule", REGISTRY.names("rule"))
@pytest.mark.parametrize("loss", REGISTRY.names("loss"))
def test_every_loss_plays_twenty_finite_steps_by_every_rule(play, loss, rule, network):
    generator, discriminator = NETWORKS[network]
    if loss in AUTOENCODER:
        discriminator = "autoencoder:width=2"
    elif rule == "unrolled" and network == "dcgan" and loss in GRADIENT_PENALTIES:
        discriminator += ",norm=none"  # batch norm has no third derivative
    if rule == "unrolled":
        rule = "unrolled:k=2"
    images = network == "dcgan" or loss in IMAGES_ONLY
    for opt in RATES.values():
        game, step = play(
            data="fashion-mnist-10k" if images else "gaussian:dim=8,n=64",
            generator=generator,
            discriminator=discriminator,
            loss=f"nonsat+{loss}" if loss in NEEDS_A_GAME else loss,
            rule=rule,
            opt=opt,
            batch_size=4,
            z_dim=4,
        )
        start = [p.detach().clone() for player in game.players for p in player.parameters]
        for _ in range(20):
            terms = game.play(step)
            assert terms
            assert all(term.isfinite() for term in terms.values()), (opt, game.step, terms)
        now = [p.detach() for player in game.players for p in player.parameters]
        assert all(p.isfinite().all() for p in now), opt
        assert any(not p.equal(q) for p, q in zip(start, now, strict=True)), opt


def test_the_grid_covers_every_term_of_losses():
    assert set(REGISTRY.names("loss")) >= NEEDS_A_GAME | AUTOENCODER
