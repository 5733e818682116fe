"""Registers a name that reads as a name with an option."""
from ganbench import hookimpl


@hookimpl
def ganbench_losses():
    return {"my:loss": "json:dumps"}
