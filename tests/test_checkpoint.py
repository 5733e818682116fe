"""Trees of state through safetensors and JSON."""

from __future__ import annotations

import pytest
import torch

from ganbench.checkpoint import load_checkpoint, save_checkpoint


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3),
        torch.arange(6.0).reshape(2, 3).T,
        torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
        torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        torch.arange(12.0)[::2],
        torch.ones(1).expand(3, 2),
        torch.tensor(1.5),
    ],
    ids=["rows", "columns", "permuted", "channels last", "every second", "expanded", "scalar"],
)
def test_a_tensor_comes_back_with_its_values_and_the_order_of_its_dimensions(tensor, tmp_path):
    save_checkpoint(tmp_path, 1, {"x": tensor})
    loaded = load_checkpoint(tmp_path)["x"]
    assert torch.equal(loaded, tensor)
    dense = torch.empty_like(tensor)  # the layout of what torch itself would copy `tensor` to
    assert loaded.stride() == dense.stride()
