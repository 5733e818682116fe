"""Who may speak on stderr: ganbench, as loud as was asked for; libraries only of errors."""

from __future__ import annotations

import logging
import os
import sys
import warnings

__all__ = ["log_to_stderr", "quieten_libraries"]


def quieten_libraries() -> None:
    """Their warnings are for who calls them in code, which here is ganbench, not the user.
    `python -W` or PYTHONWARNINGS shows them."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # of torch's profiler; 6 is silence
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")


def log_to_stderr(level: int) -> None:
    logger = logging.getLogger("ganbench")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(level)
