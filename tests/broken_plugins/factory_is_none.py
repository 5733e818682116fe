"""Registers None."""
from ganbench import hookimpl


@hookimpl
def ganbench_rules():
    return {"x": None}
