"""What a run sets up on its device, and how fast it finds the device to be."""

from __future__ import annotations

import pytest
import torch

import ganbench
from ganbench import devices
from ganbench.benchmark_case import time_case
from ganbench.errors import IncompatibleParts
from ganbench.game import build_game
from ganbench.inference import generate
from ganbench.plan import make_plan
from ganbench.profiling.profile import profile
from ganbench.profiling.trials import Bench
from ganbench.spec import RunSpec
from ganbench.store import run_in_store, run_vectorized

CPU = torch.device("cpu")


@pytest.fixture
def onednn():
    """Products by oneDNN, where this machine lets it make them in float32."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        devices.set_up(CPU, threads, "fp32", onednn=True)
    except IncompatibleParts as error:
        torch.set_float32_matmul_precision(precision)
        pytest.skip(str(error))
    yield
    torch.set_float32_matmul_precision(precision)
    torch.set_num_threads(threads)


def product() -> torch.Tensor:
    a = torch.randn(300, 300, generator=torch.Generator().manual_seed(1))
    return a @ a.T


def test_products_by_onednn_are_others_than_torch_s_own_and_are_float32(onednn):
    found = product()
    torch.set_float32_matmul_precision("highest")
    own = product()
    torch.testing.assert_close(found, own, rtol=1e-5, atol=1e-4)
    assert not torch.equal(found, own)
    devices.set_up(CPU, torch.get_num_threads(), "fp32")
    assert torch.equal(product(), own)


def test_what_is_generated_for_metrics_has_the_same_bits_with_onednn(onednn):
    network = torch.nn.Sequential(torch.nn.Linear(500, 64), torch.nn.Tanh())
    z, like = torch.randn(300, 500), torch.empty(0, 64)
    found = generate(network, z, CPU, like=like)
    assert torch.get_float32_matmul_precision() == "medium"
    devices.set_up(CPU, torch.get_num_threads(), "fp32")
    assert torch.equal(generate(network, z, CPU, like=like), found)


def test_a_run_with_onednn_has_bits_of_its_own_which_it_has_again(onednn, tmp_path):
    settings = {"data": "ring8", "generator": "mlp:hidden=[64]", "discriminator": "mlp:hidden=[64]"}
    settings |= {"batch_size": 64, "steps": 5, "metrics": "none", "device": "cpu"}
    runs = [
        ganbench.run(RunSpec(**settings, onednn=on), tmp_path / str(i))
        for i, on in enumerate([True, False, True])
    ]
    first, plain, again = (run.weights_sha256 for run in runs)
    assert first == again != plain


@pytest.mark.parametrize(
    ("device", "precision", "product", "reason"),
    [
        ("cpu", "bf16", None, "but device is 'cpu' and precision bf16: drop --onednn"),
        ("cuda", "fp32", None, "but device is 'cuda' and precision fp32"),
        ("cpu", "fp32", lambda a, _: a @ a, "but here torch makes them itself"),
        (
            "cpu",
            "fp32",
            lambda a, how: (a.bfloat16() @ a.bfloat16()).float() if how == "medium" else a @ a,
            "but here it would round them to bfloat16",
        ),
    ],
)
def test_onednn_is_refused_where_it_is_of_no_use_or_is_not_float32(
    monkeypatch, device, precision, product, reason
):
    if product is not None:
        monkeypatch.setattr(devices, "_product", product)
    devices._why_no_onednn.cache_clear()
    with pytest.raises(IncompatibleParts, match=reason):
        devices.set_up(torch.device(device), 1, precision, onednn=True)
    devices._why_no_onednn.cache_clear()


class _Benchmark:
    """What `time_case` needs of pytest-benchmark's."""

    def __init__(self) -> None:
        self.extra_info: dict[str, object] = {}

    def pedantic(self, play, args, **rounds) -> None:
        play(*args)


WAYS = {
    "run": lambda plan, registry, out: run_in_store(plan, out),
    "several seeds at once": lambda plan, registry, out: run_vectorized([plan], out),
    "profile": lambda plan, registry, out: profile(plan, registry, trials_s=0),
    "benchmark": lambda plan, registry, out: time_case(_Benchmark(), settings_of(plan), 1),
    "trial": lambda plan, registry, out: Bench(plan, CPU, lambda plan: built(plan)),
}


def settings_of(plan):
    return {name: getattr(plan.spec, name) for name in plan.spec.model_fields_set}


def built(plan):
    return build_game(plan, plan.data.create(None), CPU)


@pytest.mark.parametrize("way", WAYS)
def test_whatever_plays_a_spec_has_its_products_made_as_it_says(
    onednn, registry, monkeypatch, tmp_path, way
):
    settings = {"data": "ring8", "generator": "mlp:hidden=[4]", "discriminator": "mlp:hidden=[4]"}
    settings |= {"batch_size": 8, "steps": 5, "metrics": "none", "device": "cpu", "onednn": True}
    vectorize = {"vectorize": True} if way == "several seeds at once" else {}
    made, set_up = [], devices.set_up

    def noted(*args, **kwargs):
        set_up(*args, **kwargs)
        made.append(torch.get_float32_matmul_precision())

    monkeypatch.setattr(devices, "set_up", noted)
    WAYS[way](make_plan(RunSpec(**settings, **vectorize), registry), registry, tmp_path)
    assert set(made) == {"medium"}


@pytest.fixture
def looks(monkeypatch):
    monkeypatch.setattr(devices, "_looks", {})


def test_the_rate_of_a_product_is_the_best_of_two_moments(monkeypatch, looks):
    rates = iter([1.0, 5.0])  # a third look would find none
    monkeypatch.setattr(devices, "matmul_gflops_per_s_now", lambda *_: next(rates))
    assert [devices.matmul_gflops_per_s(CPU, "fp32", 2) for _ in range(3)] == [1.0, 5.0, 5.0]


def test_the_rate_is_looked_for_anew_where_others_make_the_products(monkeypatch, looks, onednn):
    rates = iter([6.0, 5.0, 1.0, 2.0])
    monkeypatch.setattr(devices, "matmul_gflops_per_s_now", lambda *_: next(rates))
    assert [devices.matmul_gflops_per_s(CPU, "fp32", 2) for _ in range(3)] == [6.0, 6.0, 6.0]
    devices.set_up(CPU, torch.get_num_threads(), "fp32")
    assert [devices.matmul_gflops_per_s(CPU, "fp32", 2) for _ in range(3)] == [1.0, 2.0, 2.0]


def test_a_run_looks_for_the_rate_before_and_after_its_training(tmp_path, looks):
    settings = {"data": "ring8", "generator": "mlp:hidden=[4]", "discriminator": "mlp:hidden=[4]"}
    ganbench.run(RunSpec(**settings, steps=20, metrics="none", device="cpu"), tmp_path)
    (found,) = devices._looks.values()
    assert len(found) == 2


def test_small_products_that_other_work_makes_slow_do_not_end_the_search(monkeypatch):
    sizes = []

    def seconds(a: torch.Tensor, device: torch.device) -> float:
        sizes.append(len(a))
        return 0.02

    monkeypatch.setattr(devices, "_seconds_of_product", seconds)
    rate = devices.matmul_gflops_per_s_now(CPU, "fp32")
    assert sorted(set(sizes)) == [256, 512, 1024]
    assert rate == pytest.approx(2 * 1024**3 / 0.02 / 1e9)


def test_looking_for_the_rate_draws_no_random_number_of_a_run():
    before = torch.get_rng_state()
    devices.matmul_gflops_per_s_now(CPU, "fp32")
    assert torch.equal(torch.get_rng_state(), before)
