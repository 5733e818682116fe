"""Registers a factory in a module that ends the process."""
from ganbench import hookimpl


@hookimpl
def ganbench_losses():
    return {"x": "exits_on_import:loss"}
