"""Its command is neither a typer app nor a function."""
from ganbench import hookimpl


@hookimpl
def ganbench_commands():
    return {"x": dict}
