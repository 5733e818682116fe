"""A loss that a wrong weight makes 2 % worse is found by its seeds, end to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "planted_fid.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_wrong_weight_is_a_regression_named_fid_and_a_rewritten_loss_is_ok(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "regressed: fid of mlp-planted-sgd-fashion-mnist-10k" in done.stdout
