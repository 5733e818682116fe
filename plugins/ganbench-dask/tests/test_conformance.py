"""ganbench's own rules, on every component of this package."""

from ganbench.testing import conformance_tests

test_conformance = conformance_tests("ganbench-dask")
