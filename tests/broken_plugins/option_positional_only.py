"""Its option can't be given by name."""
from ganbench import hookimpl


def optimizer(module, lr=0.1, /):
    return None


@hookimpl
def ganbench_optimizers():
    return {"x": optimizer}
