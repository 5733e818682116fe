"""A complete plugin package from templates: `ganbench plugins new NAME --kind KIND`.

templates/: what every package has; templates/KIND.py.jinja and KIND_test.py.jinja: the component
and the test of its numbers.
"""

from ganbench.scaffold.package import KINDS, write_package

__all__ = ["KINDS", "write_package"]
