"""What an Evaluation gives to metrics, what it leaves alone, and what it keeps in the cache."""

from __future__ import annotations

import logging
import os

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from ganbench import feature_cache
from ganbench.builtin.extractors import fmnist_cnn_v1
from ganbench.builtin.metrics import fid, kid
from ganbench.errors import GanbenchError, IncompatibleParts
from ganbench.evaluation import Evaluation, to_uint8
from ganbench.feed import to_float
from ganbench.frechet import moments_of
from ganbench.measure import measure
from ganbench.neighbours import density_and_coverage, precision_and_recall, squared_radii
from ganbench.plan import make_plan
from ganbench.protocols import Data
from ganbench.registry import default_registry
from ganbench.spec import RunSpec

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("GANBENCH_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


class Brightness(nn.Module):
    """An extractor of two features, the mean and the mean square, that counts what it sees."""

    name = "brightness"
    sha256 = "0" * 64
    feature_dim = 2
    preprocessing = "none"

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        pixels = x.flatten(1).float() / 255
        return torch.stack([pixels.mean(dim=1), pixels.square().mean(dim=1)], dim=1)


def generator() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 64), nn.BatchNorm1d(64), nn.Dropout(), nn.Tanh(), nn.Unflatten(1, (1, 8, 8))
    )


def pictures(n: int, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, 8, 8), dtype=torch.uint8, generator=draws)


def latents(n: int) -> torch.Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(1))


def evaluation(
    x_real: torch.Tensor, *, module: nn.Module | None = None, extractor: nn.Module | None = None
) -> Evaluation:
    return Evaluation(
        module or generator(),
        x_real,
        z=latents(100),
        extractor=extractor or Brightness(),
        device=CPU,
        data_label="pictures",
    )


def test_pixels_are_rounded_as_save_image_writes_them(tmp_path):
    from PIL import Image
    from torchvision.utils import save_image

    x = torch.linspace(-1.2, 1.2, 3 * 64 * 64).view(3, 64, 64)
    save_image(x, tmp_path / "x.png", normalize=True, value_range=(-1, 1))
    written = np.asarray(Image.open(tmp_path / "x.png"))
    assert np.array_equal(to_uint8(x).permute(1, 2, 0).numpy(), written)


def test_every_level_of_a_real_image_survives_the_way_to_the_players_and_back():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(levels)), levels)


def test_generated_images_are_those_of_the_latents_in_eval_mode():
    module = generator()
    module(latents(32))  # so that eval mode differs from a batch's own statistics
    one = evaluation(pictures(10), module=module)
    x_fake = one.x_fake
    with torch.no_grad():
        expected = module.eval()(latents(100))
    assert (one.n_real, one.n_fake) == (10, 100)
    assert x_fake.dtype == torch.uint8
    assert torch.equal(x_fake, to_uint8(expected))
    assert not x_fake.is_inference()


def test_features_and_moments_are_those_of_all_the_images():
    one = evaluation(pictures(150))
    expected = Brightness()(one.x_fake)
    assert torch.equal(one.features_fake, expected)
    assert torch.equal(one.features_real, Brightness()(one.x_real))
    assert one.moments_real.n == 150
    assert torch.allclose(one.moments_fake.mean, expected.double().mean(dim=0))
    assert torch.allclose(one.root_real @ one.root_real.T, one.moments_real.covariance)


def test_evaluating_moves_neither_random_state_nor_any_modules_mode():
    module, extractor = generator(), fmnist_cnn_v1()
    module[1].eval()  # one part in another mode than the whole
    modes = [part.training for part in module.modules()]
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one = evaluation(pictures(40), module=module, extractor=extractor)
    assert fid()(one) | kid(subsets=2)(one)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert [part.training for part in module.modules()] == modes


def test_evaluating_changes_no_parameter_and_no_running_statistic():
    module = generator()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fid()(evaluation(pictures(40), module=module))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_a_generator_that_draws_its_own_noise_is_evaluated_alike_each_time():
    class Noisy(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.randn(len(z), 1, 8, 8)

    torch.manual_seed(1)
    first = evaluation(pictures(10), module=Noisy()).x_fake
    torch.manual_seed(2)
    assert torch.equal(evaluation(pictures(10), module=Noisy()).x_fake, first)


def test_pixels_that_are_no_number_are_an_error_not_a_picture():
    class Broken(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.full((len(z), 1, 8, 8), torch.nan)

    with pytest.raises(GanbenchError, match="not a number"):
        _ = evaluation(pictures(10), module=Broken()).x_fake


def test_points_are_evaluated_as_they_are_without_an_extractor():
    module = nn.Linear(4, 2)
    one = Evaluation(module, torch.randn(30, 2), z=latents(50), extractor=None, device=CPU)
    assert not one.is_images
    assert torch.equal(one.x_fake, module(latents(50)).detach())


def test_points_have_no_features_and_the_message_names_data_and_metrics():
    one = Evaluation(
        nn.Linear(4, 2),
        torch.randn(30, 2),
        z=latents(50),
        extractor=fmnist_cnn_v1(),
        device=CPU,
        data_label="ring8",
    )
    with pytest.raises(IncompatibleParts, match=r"'ring8' is points .* extractors .* \(fid, kid"):
        fid()(one)


def test_images_without_an_extractor_say_what_is_missing():
    one = Evaluation(
        generator(), pictures(9), z=latents(9), extractor=None, device=CPU, data_label="pictures"
    )
    with pytest.raises(IncompatibleParts, match="'pictures' is images, but there is no extractor"):
        fid()(one)


def test_the_second_evaluation_reads_the_real_side_from_the_cache():
    x_real, first, second = pictures(1200), Brightness(), Brightness()
    values = fid()(evaluation(x_real, extractor=first))
    assert first.seen == 1200 + 100
    again = evaluation(x_real, extractor=second)
    assert fid()(again) == values
    assert second.seen == 100
    assert torch.equal(again.features_real, Brightness()(x_real))
    assert second.seen == 100


def test_one_changed_pixel_or_other_weights_miss_the_cache():
    x_real = pictures(1200)
    fid()(evaluation(x_real))
    changed, extractor = x_real.clone(), Brightness()
    changed[700, 0, 3, 3] ^= 1
    fid()(evaluation(changed, extractor=extractor))
    assert extractor.seen == 1200 + 100
    other = Brightness()
    other.sha256 = "1" * 64
    fid()(evaluation(x_real, extractor=other))
    assert other.seen == 1200 + 100


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "empty"])
def test_a_damaged_cache_is_made_again_and_gives_the_same_number(cache, damage):
    x_real = pictures(1200)
    values = fid()(evaluation(x_real))
    files = list(cache.glob("*.safetensors"))
    assert len(files) == 2
    for file in files:
        content = bytearray(file.read_bytes())
        content[-3] ^= 0x40
        broken = {"cut": content[:-9], "flipped": content, "foreign": b"text", "empty": b""}
        file.write_bytes(broken[damage])
    extractor = Brightness()
    assert fid()(evaluation(x_real, extractor=extractor)) == values
    assert extractor.seen == 1200 + 100
    extractor.seen = 0
    assert fid()(evaluation(x_real, extractor=extractor)) == values
    assert extractor.seen == 100


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("GANBENCH_CACHE_DIR", str(blocked))
    with caplog.at_level(logging.INFO, logger="ganbench"):
        values = fid()(evaluation(pictures(1200)))
    assert values["fid"] > 0
    assert "not cached" in caplog.text


def test_without_features_kept_the_moments_have_the_same_bits_and_no_more_is_held():
    x_real = pictures(9000)
    kept, dropped = (
        Evaluation(
            generator(),
            x_real,
            z=latents(5000),
            extractor=Brightness(),
            device=CPU,
            keep_features=keep,
        )
        for keep in (True, False)
    )
    assert fid()(dropped) == fid()(kept)
    for side in ("moments_real", "moments_fake"):
        a, b = getattr(kept, side), getattr(dropped, side)
        assert torch.equal(a.mean, b.mean)
        assert torch.equal(a.covariance, b.covariance)
    assert "features_fake" in vars(kept)
    assert not {"features_fake", "features_real"} & vars(dropped).keys()


def test_fid_alone_keeps_no_features_and_fid_with_kid_extracts_once(play, monkeypatch):
    made = []
    monkeypatch.setattr(
        "ganbench.measure.Evaluation",
        lambda *args, **kw: made.append(Evaluation(*args, **kw)) or made[-1],
    )
    for metrics in (("fid",), ("fid", "kid:subsets=2")):
        spec = RunSpec(device="cpu", metrics=metrics, generator="mlp:hidden=[8]")
        plan = make_plan(spec, default_registry())
        data = plan.data.create(None)
        few = Data(data.x[:40], None, data.facts)
        game, _ = play(generator="mlp:hidden=[8]", batch_size=8)
        extractor = fmnist_cnn_v1()
        assert measure(plan, game, few, extractor, torch.randn(30, 100))
    assert "features_fake" not in vars(made[0])
    assert "features_fake" in vars(made[1])


def test_few_images_leave_no_file(cache):
    fid()(evaluation(pictures(40)))
    assert not cache.exists()


def test_the_cache_is_where_the_variable_says_and_in_the_users_folder_without_it(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("GANBENCH_CACHE_DIR", str(tmp_path))
    assert feature_cache.cache_folder() == tmp_path / "features"
    monkeypatch.setenv("GANBENCH_CACHE_DIR", "")
    assert "ganbench" in feature_cache.cache_folder().parts


def test_cache_entries_hold_their_checksums_and_no_temporary_is_left(cache):
    fid()(evaluation(pictures(1200)))
    assert all(name.endswith(".safetensors") for name in os.listdir(cache))
    for file in cache.iterdir():
        with safe_open(file, framework="pt") as opened:
            assert opened.metadata().keys() == set(opened.keys())


def test_moments_from_the_cache_are_those_of_the_features():
    x_real = pictures(1200)
    for _ in range(2):
        one = evaluation(x_real)
        expected = moments_of(Brightness()(x_real))
        assert torch.equal(one.moments_real.mean, expected.mean)
        assert torch.equal(one.moments_real.covariance, expected.covariance)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_on_a_gpu_are_those_on_the_cpu_whatever_tf32_is_set_to():
    x_real = pictures(100)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        cuda = torch.device("cuda")
        on_gpu = Evaluation(
            generator().to(cuda),
            x_real,
            z=latents(10),
            extractor=fmnist_cnn_v1().to(cuda),
            device=cuda,
        ).features_real
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before
    on_cpu = evaluation(x_real, extractor=fmnist_cnn_v1()).features_real
    assert torch.allclose(on_gpu, on_cpu, rtol=1e-4, atol=1e-4)


def test_neighbourhoods_of_the_real_side_are_found_once_and_are_those_of_a_fresh_search(
    monkeypatch,
):
    x = pictures(1000)
    first = evaluation(x, extractor=Brightness()).radii_real(3)
    with monkeypatch.context() as patch:
        patch.setattr("ganbench.evaluation.squared_radii", None)
        again = evaluation(x, extractor=Brightness()).radii_real(3)
    assert torch.equal(first, again)
    features = evaluation(x, extractor=Brightness()).features_real
    assert torch.equal(first, squared_radii(features, 3))
    fake = features[:50] + 0.1
    assert precision_and_recall(fake, features, 3) == precision_and_recall(fake, features, 3, first)
    assert density_and_coverage(fake, features, 3) == density_and_coverage(fake, features, 3, first)


def test_data_are_hashed_once_while_they_stay_as_they_are(monkeypatch):
    x = pictures(4)
    before = evaluation(x)._data_sha256
    with monkeypatch.context() as patch:
        patch.setattr(feature_cache, "sha256_of", None)
        assert evaluation(x)._data_sha256 == before
    x[0] = 0
    assert evaluation(x)._data_sha256 != before
