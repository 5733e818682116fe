"""Registers a name that is not text."""
from ganbench import hookimpl


@hookimpl
def ganbench_losses():
    return {7: "json:dumps"}
