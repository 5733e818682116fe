"""ganbench's own rules, on every component of this package."""

from ganbench.testing import conformance_tests

test_conformance = conformance_tests(
    "ganbench-torchgan",
    examples={
        "generator": ["torchgan-autoencoding:step_channels=16"],  # at 64 channels it takes long
        "discriminator": ["torchgan-autoencoding:step_channels=16"],
    },
)
