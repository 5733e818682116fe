"""Its hook wraps those of others."""
from ganbench import hookimpl


@hookimpl(wrapper=True)
def ganbench_losses():
    others = yield
    return [*others, {"x": "json:dumps"}]
