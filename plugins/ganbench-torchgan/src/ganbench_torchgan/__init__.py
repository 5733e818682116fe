"""TorchGAN's networks and its way to give one player more updates than the other."""

from __future__ import annotations

from ganbench import hookimpl

ganbench_api = 1


@hookimpl
def ganbench_generators():
    return {
        "torchgan-dcgan": f"{__name__}.networks:dcgan_generator",
        "torchgan-autoencoding": f"{__name__}.networks:autoencoding_generator",
    }


@hookimpl
def ganbench_discriminators():
    return {
        "torchgan-dcgan": f"{__name__}.networks:dcgan_discriminator",
        "torchgan-autoencoding": f"{__name__}.networks:autoencoding_discriminator",
    }


@hookimpl
def ganbench_rules():
    return {"torchgan-ncritic": f"{__name__}.rules:ncritic"}
