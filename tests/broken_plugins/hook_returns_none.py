"""Its hook forgets to return."""
from ganbench import hookimpl


@hookimpl
def ganbench_losses():
    {"x": "json:dumps"}
