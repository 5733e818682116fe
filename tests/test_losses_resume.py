"""A loss's own state goes through a checkpoint: the run goes on to the same bits."""

from __future__ import annotations

import pytest
import torch

from ganbench.checkpoint import load_checkpoint, save_checkpoint

STATEFUL = {
    "began:lambda_k=0.5": "autoencoder:width=2,embedding=2",
    "nonsat+r1:every=3": "mlp:hidden=[8]",
    "nonsat+instance-noise:anneal=6": "mlp:hidden=[8]",
    "nonsat+diffaug": "mlp:hidden=[8]",
    "nonsat+ada:kimg=0.05,interval=2,p=0.9": "mlp:hidden=[8]",
    "wgan+wgan-gp:every=2": "mlp:hidden=[8]",
}


@pytest.mark.parametrize("loss", STATEFUL)
def test_a_run_goes_on_from_a_checkpoint_to_the_same_bits(play, tmp_path, loss):
    settings = {
        "loss": loss,
        "discriminator": STATEFUL[loss],
        "generator": "mlp:hidden=[8]",
        "batch_size": 4,
        "opt": "adam",
    }
    game, rule = play(**settings)
    for _ in range(5):
        game.play(rule)
    save_checkpoint(tmp_path, 5, game.state())
    for _ in range(4):
        game.play(rule)
    expected = [p.detach().clone() for player in game.players for p in player.parameters]

    again, rule = play(**settings)
    again.load_state(load_checkpoint(tmp_path))
    for _ in range(4):
        again.play(rule)
    found = [p.detach() for player in again.players for p in player.parameters]
    assert all(map(torch.equal, expected, found))
