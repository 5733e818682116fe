"""A conformance kit for plugins: what the harness relies on, checked on one's own components.

A test file of three lines: `from ganbench.testing import conformance_tests` and
`test_conformance = conformance_tests("my-package")`. The rules are in docs/plugins.md.
"""

from ganbench.testing.faults import ConformanceFailure
from ganbench.testing.losses import check_loss

__all__ = ["ConformanceFailure", "check_loss"]
