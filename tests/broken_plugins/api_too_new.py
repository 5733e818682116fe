"""Is written for a later plugin API."""
from ganbench import hookimpl

ganbench_api = 2


@hookimpl
def ganbench_losses():
    return {"x": "json:dumps"}
