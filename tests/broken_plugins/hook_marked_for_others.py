"""Its hook is marked for another project."""
import pluggy

hookimpl = pluggy.HookimplMarker("pytest")


@hookimpl
def ganbench_metrics():
    return {"x": "json:dumps"}
