"""Its mapping can not be read."""
from collections.abc import Mapping

from ganbench import hookimpl


class Lazy(Mapping):
    def __getitem__(self, key):
        raise KeyError(key)

    def __iter__(self):
        raise ConnectionError("the server that lists the losses is away")

    def __len__(self):
        return 1


@hookimpl
def ganbench_losses():
    return Lazy()
