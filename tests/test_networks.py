"""Every built-in generator and discriminator: shapes, initialisation, size, differentiability."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ganbench.builtin import ganbench_discriminators, ganbench_generators
from ganbench.builtin.networks import autoencoder, dcgan, mlp, r3gan, resnet, sngan_resnet
from ganbench.builtin.networks.dcgan import FromPixel
from ganbench.builtin.networks.init import LAYERS
from ganbench.builtin.networks.logit import ConvLogit
from ganbench.builtin.networks.residual import ResidualBlock
from ganbench.builtin.networks.shapes import SIDES, stages
from ganbench.errors import UsageError
from ganbench.factories import resolve_factory
from ganbench.plan import make_plan
from ganbench.registry import Registry
from ganbench.spec import RunSpec

# Narrow versions of all networks, so that the tests are fast.
NARROW: dict[str, dict[str, Any]] = {"mlp": {"hidden": (8, 8)}, "dcgan": {"width": 4}}
GENERATORS = {
    name: resolve_factory(target)
    for name, target in ganbench_generators().items()
    if ".networks." in str(target)
}
DISCRIMINATORS = {
    name: resolve_factory(target)
    for name, target in ganbench_discriminators().items()
    if ".networks." in str(target)
}
IMAGES = sorted(set(GENERATORS) - {"mlp"})
Z = 6

every_generator = pytest.mark.parametrize("name", sorted(GENERATORS))
every_discriminator = pytest.mark.parametrize("name", sorted(DISCRIMINATORS))
with_spectral_norm = pytest.mark.parametrize("name", ["mlp", "dcgan", "resnet", "sngan-resnet"])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def make_g(name: str, shape: tuple[int, ...], **options: Any) -> nn.Module:
    module: nn.Module = GENERATORS[name](Z, shape, **{**narrow(name), **options})
    return module


def make_d(name: str, shape: tuple[int, ...], **options: Any) -> nn.Module:
    module: nn.Module = DISCRIMINATORS[name](shape, **{**narrow(name), **options})
    return module


def narrow(name: str) -> dict[str, Any]:
    return NARROW.get(name, {"width": 8})


def images(*shape: int) -> Tensor:
    return torch.rand(shape) * 2 - 1


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# --- precision and memory --------------------------------------------------------------------

LOGITS = [name for name in sorted(DISCRIMINATORS) if name != "autoencoder"]  # gives images


@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.parametrize("side", [28, 64])
def test_logits_are_float32_under_autocast_and_so_is_the_layer_that_makes_them(
    name: str, side: int
) -> None:
    d = make_d(name, (1, side, side)).eval()  # spectral norm stands still
    *body, last, flatten = d
    x = images(8, 1, side, side)
    with torch.autocast("cpu", torch.bfloat16):
        logits = d(x)
        features = nn.Sequential(*body)(x)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, flatten(last(features.float())))  # no autocast: all of it float32
    assert not torch.equal(logits, logits.bfloat16().float())


@pytest.mark.parametrize("name", sorted(DISCRIMINATORS))
@pytest.mark.parametrize("make", [make_g, make_d])
def test_a_network_leaves_its_input_as_it_was(make: Callable[..., nn.Module], name: str) -> None:
    x = images(4, Z) if make is make_g else images(4, 1, 28, 28)
    before = x.clone()
    make(name, (1, 28, 28))(x)
    assert torch.equal(x, before)


# --- shapes ---------------------------------------------------------------------------------


@every_generator
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 32, 48, 64, 128])
def test_a_generator_makes_images_of_the_data_s_shape_in_the_unit_range(
    name: str, side: int, channels: int
) -> None:
    x = make_g(name, (channels, side, side))(5 * torch.randn(2, Z))

    assert x.shape == (2, channels, side, side)
    assert x.abs().max() <= 1


@every_discriminator
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [28, 32, 48, 64, 128])
def test_a_discriminator_gives_one_finite_number_per_image(
    name: str, side: int, channels: int
) -> None:
    y = make_d(name, (channels, side, side))(images(2, channels, side, side))

    assert y.shape == (2,)
    assert y.isfinite().all()


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("side", [side for side in SIDES if side <= 24])
def test_small_images_such_as_8_by_8_digits_work_too(name: str, side: int) -> None:
    shape = (1, side, side)

    assert make_d(name, shape)(make_g(name, shape)(torch.randn(3, Z))).shape == (3,)


@pytest.mark.parametrize("shape", [(2,), (1,), (3, 5)])
def test_the_mlp_takes_points_and_leaves_their_range_open(shape: tuple[int, ...]) -> None:
    g = make_g("mlp", shape)
    x = g(1000 * torch.randn(64, Z))

    assert x.shape == (64, *shape)
    assert x.abs().max() > 1
    assert make_d("mlp", shape)(x).shape == (64,)


def test_the_mlp_s_output_is_tanh_or_linear_when_asked() -> None:
    z = 1000 * torch.randn(64, Z)

    assert make_g("mlp", (2,), output="tanh")(z).abs().max() <= 1
    assert make_g("mlp", (1, 8, 8), output="linear")(z).abs().max() > 1


def test_a_side_is_a_base_of_4_to_7_doubled() -> None:
    assert [stages(side) for side in (8, 28, 32, 48, 64, 128)] == [
        (4, 1), (7, 2), (4, 3), (6, 3), (4, 4), (4, 5),
    ]  # fmt: skip
    assert [stages(side, 6) for side in (8, 28, 32, 48, 64)] == [
        (8, 0), (7, 2), (8, 2), (6, 3), (8, 3),
    ]  # fmt: skip


# --- what can't work ------------------------------------------------------------------------


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("make", [make_g, make_d])
def test_a_side_that_is_no_doubling_is_refused_with_the_nearest_that_are(
    make: Callable[..., nn.Module], name: str
) -> None:
    with pytest.raises(ValueError, match=rf"{name} .* are 3×30×30; the nearest .* 28 and 32"):
        make(name, (3, 30, 30))


@pytest.mark.parametrize("name", IMAGES)
def test_an_oblong_image_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"square images .* 1×28×32"):
        make_d(name, (1, 28, 32))


@pytest.mark.parametrize("name", IMAGES)
def test_points_are_refused_with_the_network_that_takes_them(name: str) -> None:
    with pytest.raises(ValueError, match="the data's shape is 2; mlp works on any shape"):
        make_g(name, (2,))


def test_a_wrong_shape_is_the_user_s_mistake_and_names_the_part(registry: Registry) -> None:
    plan = make_plan(RunSpec(generator="dcgan:width=8"), registry)

    with pytest.raises(UsageError, match=r"generator 'dcgan:width=8': dcgan works on images"):
        plan.generator.create(Z, (2,))


@pytest.mark.parametrize(
    ("discriminator", "reason"),
    [
        ("mlp:hidden=[0]", "greater than 0"),
        ("mlp:slope=-1", "greater than or equal to 0"),
        ("mlp:init=glorott", "'glorot', 'dcgan', 'orthogonal' or 'torch'"),
        ("dcgan:width=0", "greater than 0"),
        ("dcgan:norm=bath", "'batch' or 'none'"),
        ("r3gan:width=12", "multiple of 8"),
        ("r3gan:spectral_norm=true", "no option 'spectral_norm'"),
        ("autoencoder:norm=l3", "'l1' or 'l2'"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_built(
    registry: Registry, discriminator: str, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        make_plan(RunSpec(discriminator=discriminator), registry)


# --- sizes, against the published ones ------------------------------------------------------


def test_the_mlp_has_the_article_s_layers() -> None:
    g, d = mlp.generator(100, (1, 28, 28)), mlp.discriminator((1, 28, 28))

    assert [(m.in_features, m.out_features) for m in g if isinstance(m, nn.Linear)] == [
        (100, 256), (256, 512), (512, 512), (512, 784),
    ]  # fmt: skip
    assert [(m.in_features, m.out_features) for m in d if isinstance(m, nn.Linear)] == [
        (784, 512), (512, 512), (512, 512), (512, 1),
    ]  # fmt: skip
    assert [m.negative_slope for m in d if isinstance(m, nn.LeakyReLU)] == [0.2] * 3
    # 100·256 + 256 + 256·512 + 512 + 512·512 + 512 + 512·784 + 784, and 784·512 + 512 + …
    assert (size(g), size(d)) == (822_288, 927_745)


def test_dcgan_has_the_size_of_pytorch_s_tutorial() -> None:
    # docs.pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html: nz 100, ngf = ndf = 64
    g, d = dcgan.generator(100, (3, 64, 64)), dcgan.discriminator((3, 64, 64))

    assert (size(g), size(d)) == (3_576_704, 2_765_568)


@pytest.mark.parametrize(
    ("side", "g_size", "d_size"),
    [
        (32, 4_276_739, 1_053_825),
        (48, 4_878_083, 10_141_441),
        (64, 12_220_675, 10_141_441),
        (128, 32_150_787, 29_017_857),
    ],
)
def test_sngan_resnet_has_the_size_of_mimicry_s(side: int, g_size: int, d_size: int) -> None:
    # torch-mimicry 0.1.16, SNGANGenerator32 … SNGANDiscriminator128, nz 128, counted
    with torch.device("meta"):
        g = sngan_resnet.generator(128, (3, side, side))
        d = sngan_resnet.discriminator((3, side, side), spectral_norm=False)

    assert (size(g), size(d)) == (g_size, d_size)


def test_resnet_has_the_size_of_wgan_gp_s_cifar_script() -> None:
    # igul222/improved_wgan_training, gan_cifar_resnet.py, unconditional, DIM_G = DIM_D = 128
    conv, shortcut, norm = 128 * 128 * 9 + 128, 128 * 128 + 128, 2 * 128
    up = 2 * conv + shortcut + 2 * norm
    g_size = (128 + 1) * 2048 + 3 * up + norm + (128 * 9 + 1) * 3
    first = (3 * 9 + 1) * 128 + conv + (3 + 1) * 128
    d_size = first + (2 * conv + shortcut) + 2 * (2 * conv) + 128 + 1
    assert (g_size, d_size) == (1_204_483, 1_053_825)

    g, d = resnet.generator(128, (3, 32, 32)), resnet.discriminator((3, 32, 32))

    assert (size(g), size(d)) == (g_size, d_size)


def test_resnet_has_the_size_of_wgan_gp_s_64_by_64_script() -> None:
    # igul222/improved_wgan_training, gan_64x64.py, GoodGenerator and GoodDiscriminator, DIM 64
    def block(before: int, after: int, hidden: int) -> int:
        norms = 2 * before + 2 * hidden
        convs = before * hidden * 9 + hidden * after * 9 + after  # the first has no biases
        return norms + convs + before * after + after

    up = [(512, 512), (512, 256), (256, 128), (128, 64)]
    g_size = (128 + 1) * 16 * 512 + sum(block(a, b, b) for a, b in up)
    g_size += 2 * 64 + (64 * 9 + 1) * 3
    down = [(64, 128), (128, 256), (256, 512), (512, 512)]
    d_size = (3 * 9 + 1) * 64 + sum(block(a, b, a) for a, b in down) + 16 * 512 + 1

    g, d = resnet.generator(128, (3, 64, 64)), resnet.discriminator((3, 64, 64))

    assert (size(g), size(d)) == (g_size, d_size) == (8_540_483, 7_491_841)


def test_r3gan_has_the_published_size_at_width_768() -> None:
    # Huang et al. 2024, table 2, configuration E on FFHQ-256: 23.058M and 23.010M
    with torch.device("meta"):
        g = r3gan.generator(64, (3, 256, 256), width=768)
        d = r3gan.discriminator((3, 256, 256), width=768)

    assert (size(g), size(d)) == (23_057_952, 23_009_568)


def test_the_autoencoder_has_the_size_of_began_s_figure_1() -> None:
    # Berthelot et al. 2017, figure 1, 64 × 64, n = h = 64; no count is published
    n, h = 64, 64
    conv = {(a, b): 9 * a * b + b for a in range(1, 5 * n) for b in (3, n, 2 * n, 3 * n, 4 * n)}
    encoder = conv[3, n] + sum(2 * conv[i * n, i * n] for i in (1, 2, 3, 4))
    encoder += sum(conv[i * n, (i + 1) * n] for i in (1, 2, 3)) + 64 * 4 * n * h + h
    decoder = h * 64 * n + 64 * n + 4 * 2 * conv[n, n] + conv[n, 3]

    g, d = autoencoder.generator(h, (3, 64, 64)), autoencoder.discriminator((3, 64, 64))

    assert (size(g), size(d)) == (decoder, encoder + decoder) == (563_395, 4_564_803)


def test_a_dcgan_step_on_28_pixels_takes_18_9_gflop_at_batch_128() -> None:
    with torch.device("meta"):
        g, d = dcgan.generator(100, (1, 28, 28)), dcgan.discriminator((1, 28, 28))
        x, z = torch.empty(128, 1, 28, 28), torch.empty(128, 100)
    with FlopCounterMode(display=False) as counter:
        fake = g(z)
        (d(x).sum() + d(fake.detach()).sum()).backward()
        d.requires_grad_(False)(fake).sum().backward()

    assert counter.get_total_flops() == pytest.approx(18.9e9, rel=2e-3)


# --- initialisation -------------------------------------------------------------------------


@every_generator
def test_one_seed_gives_the_same_generator_and_another_seed_another(name: str) -> None:
    first, again, other = (seeded(seed, lambda: make_g(name, (1, 28, 28))) for seed in (1, 1, 2))

    assert equal_states(first, again)
    assert not equal_states(first, other)


@every_discriminator
def test_one_seed_gives_the_same_discriminator_and_another_seed_another(name: str) -> None:
    first, again, other = (seeded(seed, lambda: make_d(name, (1, 28, 28))) for seed in (1, 1, 2))

    assert equal_states(first, again)
    assert not equal_states(first, other)


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(seed)
    return build()


def equal_states(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, b.state_dict()[key]) for key, x in a.state_dict().items())


@pytest.mark.parametrize("name", sorted(DISCRIMINATORS))
@pytest.mark.parametrize("make", [make_g, make_d])
def test_all_biases_start_at_zero(make: Callable[..., nn.Module], name: str) -> None:
    biases = [p for key, p in make(name, (1, 28, 28)).named_parameters() if key.endswith("bias")]

    assert all(not bias.any() for bias in biases)


def test_the_mlp_s_weights_are_glorot_uniform() -> None:
    for layer in mlp.generator(100, (1, 28, 28)):
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / (layer.in_features + layer.out_features))
            assert 0.99 * bound < layer.weight.abs().max() <= bound
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_dcgan_s_weights_have_the_published_spread() -> None:
    for net in (dcgan.generator(100, (3, 64, 64)), dcgan.discriminator((3, 64, 64))):
        for layer in net:
            if isinstance(layer, LAYERS):
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)
                assert abs(layer.weight.mean().item()) < 1e-3
            elif isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.mean().item() == pytest.approx(1, abs=0.01)
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.4)


def test_other_initialisations_can_be_chosen() -> None:
    torch_s = [m for m in mlp.generator(100, (1, 28, 28), init="torch") if isinstance(m, nn.Linear)]
    orthogonal = mlp.discriminator((1, 28, 28), init="orthogonal")[3]
    dcgan_s = mlp.discriminator((1, 28, 28), init="dcgan")[3]

    assert all(m.bias.any() for m in torch_s)
    assert isinstance(orthogonal, nn.Linear)
    assert isinstance(dcgan_s, nn.Linear)
    torch.testing.assert_close(orthogonal.weight @ orthogonal.weight.T, torch.eye(512))
    assert dcgan_s.weight.std().item() == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("factory", [resnet.generator, sngan_resnet.generator])
def test_residual_blocks_draw_their_3_by_3_convolutions_twice_as_varied(
    factory: Callable[..., nn.Sequential],
) -> None:
    # Both papers' code: standard deviation √(4 / (fan_in + fan_out)) there, √(2 / …) elsewhere.
    net = factory(128, (3, 32, 32), width=64)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.out_channels == 64:
            k = module.kernel_size[0]
            variance = (4 if k == 3 else 2) / (2 * 64 * k * k)
            assert module.weight.var().item() == pytest.approx(variance, rel=0.06)


def test_r3gan_draws_its_blocks_for_their_depth_and_closes_them() -> None:
    # 2 blocks at each of 4 sizes: gain² = 2 / (1 + 0.2²) · 8^(−1/2)
    g = r3gan.generator(64, (3, 32, 32), width=64)
    blocks = [m for m in g.modules() if type(m).__name__ == "_Block"]
    gain2 = 2 / 1.04 / math.sqrt(8)

    assert len(blocks) == 8
    for block in blocks:
        first, middle, last = (m for m in block.modules() if isinstance(m, nn.Conv2d))
        assert first.weight.var().item() == pytest.approx(gain2 / 64, rel=0.06)
        assert middle.weight.var().item() == pytest.approx(gain2 / (16 * 9), rel=0.06)
        assert not last.weight.any()


def test_r3gan_starts_as_a_linear_map() -> None:
    g = make_g("r3gan", (3, 32, 32), output="linear")
    d = make_d("r3gan", (3, 32, 32))
    z, x = torch.randn(2, Z), images(2, 3, 32, 32)

    torch.testing.assert_close(g(3 * z), 3 * g(z))
    torch.testing.assert_close(d(-2 * x), -2 * d(x))


# --- derivatives ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_gradients_reach_every_parameter_of_both_players(name: str) -> None:
    g, d = make_g(name, (3, 32, 32)), make_d(name, (3, 32, 32))
    z = torch.randn(8, Z)
    if name == "r3gan":  # its blocks are closed at first
        (d(g(z)) + d(images(8, 3, 32, 32))).square().sum().backward()
        with torch.no_grad():
            for p in [*g.parameters(), *d.parameters()]:
                p -= 1e-3 * p.grad
                p.grad = None
    (d(g(z)) + d(images(8, 3, 32, 32))).square().sum().backward()

    for key, p in [*g.named_parameters(), *d.named_parameters()]:
        assert p.grad is not None, key
        assert p.grad.isfinite().all(), key
        if p.ndim > 1:
            assert p.grad.any(), key


@every_discriminator
def test_a_gradient_penalty_can_be_differentiated_again(name: str) -> None:
    # d/dt of P(θ + t v), P = Σ‖∇ₓ D(x)‖², by autograd and by central differences in float64.
    d = make_d(name, (1, 8, 8)).double().eval()
    with torch.no_grad():
        for p in d.parameters():  # away from zeros and from kinks at x = 0
            p += 0.1 * torch.randn_like(p)
    x = images(2, 1, 8, 8).double().requires_grad_()
    parameters = list(d.parameters())
    direction = [torch.randn_like(p) for p in parameters]

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
        return gradient.square().sum()

    found = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    slope = sum((f * v).sum() for f, v in zip(found, direction, strict=True) if f is not None)
    values = []
    t = 1e-6
    for step in (t, -2 * t):
        with torch.no_grad():
            for p, v in zip(parameters, direction, strict=True):
                p += step * v
        values.append(penalty())

    torch.testing.assert_close(slope, (values[0] - values[1]) / (2 * t), rtol=1e-5, atol=1e-8)


def test_a_residual_block_s_shortcut_is_the_same_at_either_side() -> None:
    down, up = ResidualBlock(3, 5, "down"), ResidualBlock(3, 5, "up")
    pool, double = nn.AvgPool2d(2), nn.Upsample(scale_factor=2)
    x = images(2, 3, 8, 8)

    torch.testing.assert_close(down.shortcut(x), pool(down.shortcut[1](x)))
    torch.testing.assert_close(up.shortcut(x), up.shortcut[0](double(x)))


def test_a_residual_block_adds_to_its_input_as_it_came() -> None:
    block = ResidualBlock(4, 4)
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    x = images(2, 4, 8, 8)
    before = x.clone()

    assert torch.equal(block(x), before)


def test_r3gan_resamples_with_the_filter_1_3_3_1() -> None:
    # Halving: an 8·8 counts as 1·1, 1·3, 3·1 and 3·3 in the four pixels nearest to it.
    # Doubling: 4·4 becomes [1, 3, 3, 1] ⊗ [1, 3, 3, 1], four times as much in all.
    up, down = (
        next(m for m in net if type(m).__name__ == "_Resample")
        for net in (make_g("r3gan", (1, 8, 8)), make_d("r3gan", (1, 8, 8)))
    )
    x = torch.zeros(1, 1, 6, 6)
    x[..., 2, 2] = 64
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])

    halved, doubled = down(x)[0, 0], up(x / 4)[0, 0]

    assert halved.tolist() == [[1.0, 3.0, 0.0], [3.0, 9.0, 0.0], [0.0, 0.0, 0.0]]
    assert torch.equal(doubled[3:7, 3:7], torch.outer(taps, taps))
    assert doubled.sum() == 64


@pytest.mark.parametrize(
    ("side", "blocks", "last_side"),
    [(28, 4, 7), (32, 4, 8), (48, 5, 3), (64, 5, 2), (128, 6, 4)],
)
def test_sngan_resnet_sums_over_the_published_last_side(
    side: int, blocks: int, last_side: int
) -> None:
    # Tables 4 to 6: at 32 two of four blocks halve, at 48 four of five, at 128 five of six.
    d = make_d("sngan-resnet", (3, side, side), spectral_norm=False)
    body = [m for m in d if isinstance(m, ResidualBlock)]
    x = nn.Sequential(*body)(images(2, 3, side, side))
    by_hand = x.relu().sum((2, 3)) @ d[-2].weight[0] + d[-2].bias

    assert len(body) == blocks
    assert x.shape[2:] == (last_side, last_side)
    torch.testing.assert_close(d[len(body) :](x), by_hand)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp", {}),
        ("dcgan", {"norm": "none"}),
        ("dcgan", {"spectral_norm": True}),
        ("resnet", {}),
        ("resnet", {"norm": "none"}),
        ("sngan-resnet", {}),
        ("r3gan", {}),
        ("autoencoder", {}),
    ],
)
@pytest.mark.parametrize("side", [28, 48])
def test_without_batch_norm_an_image_s_logit_depends_on_it_alone(
    name: str, options: dict[str, Any], side: int
) -> None:
    d = make_d(name, (1, side, side), **options)
    for module in d.modules():  # in training mode, but without power iterations
        if module is not d and not isinstance(module, nn.BatchNorm2d):
            module.eval()
    x = images(3, 1, side, side)

    torch.testing.assert_close(d(x)[:1], d(x[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [28, 48])
def test_wgan_gp_s_critic_has_layer_norm_above_32_pixels_only(side: int) -> None:
    def norms(**options: Any) -> int:
        d = make_d("resnet", (1, side, side), **options)
        return sum(isinstance(m, nn.GroupNorm) and m.num_groups == 1 for m in d.modules())

    assert norms() == (6 if side == 48 else 0)  # two in each of three blocks
    assert norms(norm="layer") == (6 if side == 48 else 7)  # the first block has but one
    assert norms(norm="none") == norms(spectral_norm=True) == 0


# --- spectral norm --------------------------------------------------------------------------


@with_spectral_norm
def test_spectral_norm_brings_every_layer_s_largest_singular_value_to_one(name: str) -> None:
    d = make_d(name, (1, 28, 28), spectral_norm=True)
    x = images(4, 1, 28, 28)
    for _ in range(100):
        d(x)
    d.eval()
    d(x)

    layers = [m for m in d.modules() if isinstance(m, LAYERS)]
    assert layers
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(
            1, abs=0.01
        )


@with_spectral_norm
def test_spectral_norm_s_vectors_are_state_and_rest_in_evaluation(name: str) -> None:
    d = make_d(name, (1, 28, 28), spectral_norm=True)
    x = images(4, 1, 28, 28)
    d(x)
    d.eval()
    before = copy.deepcopy(d.state_dict())
    logits = d(x)
    other = seeded(1, lambda: make_d(name, (1, 28, 28), spectral_norm=True)).eval()
    other.load_state_dict(load(save(d.state_dict())))

    assert all(torch.equal(before[key], value) for key, value in d.state_dict().items())
    assert torch.equal(other(x), logits)


def test_spectral_norm_takes_batch_norm_s_place_unless_asked() -> None:
    def normalised(**options: Any) -> bool:
        d = make_d("dcgan", (1, 28, 28), **options)
        return any(isinstance(m, nn.BatchNorm2d) for m in d.modules())

    assert normalised()
    assert not normalised(spectral_norm=True)
    assert normalised(spectral_norm=True, norm="batch")
    assert not normalised(norm="none")


# --- what the harness does with a network ---------------------------------------------------


@pytest.mark.parametrize("name", sorted(GENERATORS))
@pytest.mark.parametrize("make", [make_g, make_d])
def test_a_network_can_be_saved_as_safetensors_and_copied(
    make: Callable[..., nn.Module], name: str
) -> None:
    net = make(name, (1, 28, 28)).eval()
    twin = copy.deepcopy(net)
    twin.load_state_dict(load(save(net.state_dict())))
    x = torch.randn(2, Z) if make is make_g else images(2, 1, 28, 28)

    assert torch.equal(net(x), twin(x))


@pytest.mark.parametrize("name", IMAGES)
def test_channels_last_changes_nothing_but_the_layout(name: str) -> None:
    d = make_d(name, (3, 32, 32)).eval()
    x = images(2, 3, 32, 32)
    expected = d(x)

    found = d.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))

    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_bfloat16_autocast_trains_both_players(name: str) -> None:
    g, d = make_g(name, (1, 28, 28)), make_d(name, (1, 28, 28))
    with torch.autocast("cpu", torch.bfloat16):
        y = d(g(torch.randn(4, Z)))
    y.float().sum().backward()

    assert y.shape == (4,)
    assert all(p.grad.isfinite().all() for p in g.parameters() if p.grad is not None)


def test_the_sigmoid_output_is_the_sigmoid_of_the_logit() -> None:
    logit, probability = (
        seeded(3, lambda output=output: make_d("mlp", (1, 28, 28), output=output))
        for output in ("logit", "sigmoid")
    )
    x = images(4, 1, 28, 28)

    torch.testing.assert_close(probability(x), logit(x).sigmoid())


@pytest.mark.parametrize(("norm", "power"), [("l1", 1), ("l2", 2)])
def test_the_autoencoder_scores_by_its_reconstruction_error(norm: str, power: int) -> None:
    d = make_d("autoencoder", (3, 32, 32), norm=norm)
    x = images(4, 3, 32, 32)
    reconstructed = d.reconstruct(x)

    assert reconstructed.shape == x.shape
    by_hand = [
        sum(abs(a - b) ** power for a, b in zip(one, other, strict=True)) / (3 * 32 * 32)
        for one, other in zip(x.flatten(1).tolist(), reconstructed.flatten(1).tolist(), strict=True)
    ]
    torch.testing.assert_close(d(x), torch.tensor(by_hand))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (lambda bias: FromPixel(6, 8, 4, bias=bias), nn.ConvTranspose2d, (5, 6, 1, 1)),
        (lambda bias: ConvLogit(8, 7, bias=bias), nn.Conv2d, (5, 8, 7, 7)),
    ],
    ids=["first of G", "last of D"],
)
def test_layers_of_dcgan_that_are_products_are_the_convolutions_they_say(
    ours, theirs, shape, layout, bias
):
    layer = ours(bias).double().to(memory_format=layout)
    x = torch.randn(shape, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    found, expected = layer(x), theirs.forward(layer, x)
    torch.testing.assert_close(found, expected)
    if len(found[0]) > 1:
        assert found.is_contiguous(memory_format=layout)
    weights = torch.randn_like(found)
    wanted = [x, *layer.parameters()]
    gradients = torch.autograd.grad((found * weights).sum(), wanted)
    torch.testing.assert_close(gradients, torch.autograd.grad((expected * weights).sum(), wanted))
    assert gradients[1].is_contiguous(memory_format=layout)  # else it is copied to the weight's
