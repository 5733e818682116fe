"""TorchGAN's networks and rule under ganbench's contracts."""

from __future__ import annotations

import pytest
import torch

from ganbench.errors import UsageError
from ganbench.game import build_game
from ganbench.grammar import parse_component
from ganbench.plan import make_part, make_plan
from ganbench.registry import default_registry
from ganbench.spec import RunSpec
from ganbench.store import run_in_store
from ganbench.streams import isolated

SMALL = "step_channels=4"
NETWORKS = ["torchgan-dcgan", "torchgan-autoencoding"]
SHAPES = [(1, 28, 28), (3, 32, 32), (1, 16, 20), (3, 64, 64)]


@pytest.fixture(autouse=True)
def _one_thread_one_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def create(kind, text, *args):
    return make_part(default_registry(), kind, parse_component(text)).create(*args)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_the_data_s_shape_in_range_and_one_score_each(name, shape):
    generator = create("generator", f"{name}:{SMALL}", 5, shape)
    discriminator = create("discriminator", f"{name}:{SMALL}", shape)
    x = generator(torch.randn(3, 5))
    assert x.shape == (3, *shape)
    assert x.abs().max() <= 1
    assert discriminator(x).shape == (3,)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns(name):
    generator = create("generator", f"{name}:{SMALL}", 5, (1, 28, 28))
    discriminator = create("discriminator", f"{name}:{SMALL}", (1, 28, 28))
    discriminator(generator(torch.randn(4, 5))).square().sum().backward()
    for network in (generator, discriminator):
        for label, parameter in network.named_parameters():
            assert parameter.grad is not None, label
            assert parameter.grad.isfinite().all(), label


def test_the_discriminator_s_logits_take_both_signs():
    # TorchGAN ends in leaky ReLU(0.2); with it, flipping the last weights would not flip a logit.
    discriminator = create("discriminator", "torchgan-dcgan:step_channels=4", (1, 16, 16)).eval()
    x = torch.randn(4, 1, 16, 16)
    logits = discriminator(x)
    with torch.no_grad():
        discriminator.network.disc[0].weight.neg_()
    torch.testing.assert_close(discriminator(x), -logits)


def test_an_image_stands_in_the_middle_of_the_black_square():
    seen = []
    discriminator = create("discriminator", f"torchgan-dcgan:{SMALL}", (1, 28, 28)).eval()
    discriminator.network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = torch.rand(2, 1, 28, 28)
    discriminator(x)
    assert seen[0].shape == (2, 1, 32, 32)
    assert torch.equal(seen[0][..., 2:30, 2:30], x)
    frame = seen[0].clone()
    frame[..., 2:30, 2:30] = -1
    assert torch.equal(frame, torch.full((2, 1, 32, 32), -1.0))


def test_the_autoencoder_s_score_is_the_mean_squared_error():
    network = create("discriminator", f"torchgan-autoencoding:{SMALL}", (1, 28, 28)).eval()
    x = torch.rand(3, 1, 28, 28)
    expected = ((network.reconstruct(x) - x) ** 2).sum(dim=(1, 2, 3)) / 28**2
    torch.testing.assert_close(network(x), expected)


def test_points_are_refused():
    with pytest.raises(UsageError, match=r"torchgan-dcgan': TorchGAN's networks take images"):
        create("generator", "torchgan-dcgan", 5, (2,))


@pytest.mark.parametrize(("n", "d_updates", "g_updates"), [(1, 1, 1), (3, 3, 1), (-2, 1, 2)])
def test_ncritic_counts_updates_of_d_and_negative_ones_of_g(n, d_updates, g_updates):
    # dirac with wgan and sgd: D's gradient is −x_real + x_fake = θ, G's is −ψ; see the steps.
    spec = RunSpec(
        data="dirac", loss="wgan", opt="sgd:lr=0.1", rule=f"torchgan-ncritic:n={n}", device="cpu"
    )
    plan = make_plan(spec, default_registry())
    with isolated():
        game = build_game(plan, plan.data.create(None), torch.device("cpu"))
        game.play(plan.rule.create())
    psi = 1 - 0.1 * 1.0 * d_updates
    theta = 1 + 0.1 * psi * g_updates
    assert game.discriminator.module.psi.item() == pytest.approx(psi)
    assert game.generator.module.theta.item() == pytest.approx(theta)


def test_ncritic_of_nothing_is_refused():
    with pytest.raises(UsageError, match="n is 0"):
        create("rule", "torchgan-ncritic:n=0")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_on_28_by_28_images_ends_well(name, tmp_path):
    spec = RunSpec(
        generator=f"{name}:{SMALL}",
        discriminator=f"{name}:{SMALL}",
        loss="began" if "autoencoding" in name else "hinge",
        rule="torchgan-ncritic:n=-2",
        steps=3,
        batch_size=8,
        metrics="none",
        threads=1,
        device="cpu",
    )
    record = run_in_store(make_plan(spec, default_registry()), tmp_path).record
    assert (record.status, record.steps_done) == ("completed", 3)
