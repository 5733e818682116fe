"""MLflow without its telemetry, torch with one thread."""

from __future__ import annotations

import os

import pytest
import torch

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when mlflow is imported


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)
