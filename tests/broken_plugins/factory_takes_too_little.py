"""Its generator takes no data shape."""
from ganbench import hookimpl


def generator(z_dim):
    return None


@hookimpl
def ganbench_generators():
    return {"x": generator}
