"""A conformance kit for plugins: what the harness relies on, checked on one's own components.

An author's whole test file: `from ganbench.testing import conformance_tests` and
`test_conformance = conformance_tests("my-package")`. The rules are in docs/plugins.md.
"""

from ganbench.testing.backends import check_backend
from ganbench.testing.data import check_dataset
from ganbench.testing.faults import ConformanceFailure
from ganbench.testing.losses import check_loss
from ganbench.testing.metrics import check_metric
from ganbench.testing.networks import check_discriminator, check_generator
from ganbench.testing.optimizers import check_optimizer
from ganbench.testing.others import (
    check_command,
    check_extractor,
    check_schedule,
    check_tracker,
)
from ganbench.testing.rules import check_rule
from ganbench.testing.suite import conformance_tests

__all__ = [
    "ConformanceFailure",
    "check_backend",
    "check_command",
    "check_dataset",
    "check_discriminator",
    "check_extractor",
    "check_generator",
    "check_loss",
    "check_metric",
    "check_optimizer",
    "check_rule",
    "check_schedule",
    "check_tracker",
    "conformance_tests",
]
