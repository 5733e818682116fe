"""Trees of state through safetensors and JSON."""

from __future__ import annotations

import shutil
import tempfile

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


@pytest.mark.parametrize("at", range(4))
def test_a_folder_that_another_process_removes_meanwhile_is_made_again(tmp_path, monkeypatch, at):
    """Before and after each of the two temporary files of a checkpoint is made."""
    folder, make, moment = tmp_path / "checkpoints" / "a-run", tempfile.mkstemp, iter(range(99))

    def end_of_the_other() -> None:
        if next(moment) == at:
            shutil.rmtree(folder.parent)

    def make_beside_it(**where):
        end_of_the_other()
        made = make(**where)
        end_of_the_other()
        return made

    monkeypatch.setattr(tempfile, "mkstemp", make_beside_it)
    save_checkpoint(folder, 1, {"x": 3})
    assert next(moment) == 2 * 3 - (at % 2 == 0)  # one file was made twice, or tried twice
    assert (folder / "checkpoint.json").exists()
    save_checkpoint(folder, 2, {"x": 4})
    assert load_checkpoint(folder) == {"x": 4}
