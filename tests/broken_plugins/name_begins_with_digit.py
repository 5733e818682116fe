"""Registers a name that begins with a digit."""
from ganbench import hookimpl


@hookimpl
def ganbench_optimizers():
    return {"8bit-adam": "json:dumps"}
