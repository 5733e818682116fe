"""Its hook's name has a typing error."""
from ganbench import hookimpl


@hookimpl
def ganbench_loses():
    return {"x": "json:dumps"}
