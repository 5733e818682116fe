"""Registers a factory in a module that is not there."""
from ganbench import hookimpl


@hookimpl
def ganbench_losses():
    return {"x": "module_that_is_not_there:loss"}
