"""Registers the empty name."""
from ganbench import hookimpl


@hookimpl
def ganbench_losses():
    return {"": "json:dumps"}
