"""Is an object with an attribute that raises."""
from ganbench import hookimpl


class Plugin:
    @property
    def ganbench_api(self):
        raise OSError("not logged in")

    @hookimpl
    def ganbench_losses(self):
        return {"x": "json:dumps"}


plugin = Plugin()
