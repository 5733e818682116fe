"""Its command has the name of ganbench's own."""
from ganbench import hookimpl


def run():
    """Run something else."""


@hookimpl
def ganbench_commands():
    return {"run": run}
