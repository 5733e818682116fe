"""ganbench's own components, registered through the same hooks as anyone's.

Factories are named, not imported: listing them costs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from ganbench.builtin.torch_optim import torch_optimizer_names
from ganbench.hookspecs import hookimpl
from ganbench.protocols import Factory

_HERE = "ganbench.builtin"


@hookimpl
def ganbench_generators() -> Mapping[str, Factory]:
    return {
        "dirac": f"{_HERE}.games:point",
        "bilinear": f"{_HERE}.games:point",
        "mlp": f"{_HERE}.networks.mlp:generator",
        "dcgan": f"{_HERE}.networks.dcgan:generator",
        "sngan-resnet": f"{_HERE}.networks.sngan_resnet:generator",
        "resnet": f"{_HERE}.networks.resnet:generator",
        "r3gan": f"{_HERE}.networks.r3gan:generator",
        "autoencoder": f"{_HERE}.networks.autoencoder:generator",
    }


@hookimpl
def ganbench_discriminators() -> Mapping[str, Factory]:
    return {
        "dirac": f"{_HERE}.games:linear_score",
        "bilinear": f"{_HERE}.games:linear_score",
        "mlp": f"{_HERE}.networks.mlp:discriminator",
        "dcgan": f"{_HERE}.networks.dcgan:discriminator",
        "sngan-resnet": f"{_HERE}.networks.sngan_resnet:discriminator",
        "resnet": f"{_HERE}.networks.resnet:discriminator",
        "r3gan": f"{_HERE}.networks.r3gan:discriminator",
        "autoencoder": f"{_HERE}.networks.autoencoder:discriminator",
    }


@hookimpl
def ganbench_losses() -> Mapping[str, Factory]:
    losses, penalties, augment = f"{_HERE}.losses", f"{_HERE}.penalties", f"{_HERE}.augment"
    return {
        "minimax": f"{losses}.classic:minimax",
        "nonsat": f"{losses}.classic:nonsat",
        "nonsat-negated": f"{losses}.classic:nonsat_negated",
        "lsgan": f"{losses}.classic:lsgan",
        "least-squares": f"{losses}.classic:lsgan",
        "hinge": f"{losses}.classic:hinge",
        "wgan": f"{losses}.classic:wgan",
        "rpgan": f"{losses}.relativistic:rpgan",
        "ragan": f"{losses}.relativistic:ragan",
        "ralsgan": f"{losses}.relativistic:ralsgan",
        "f-gan": f"{losses}.divergences:f_gan",
        "mmd": f"{losses}.mmd:mmd",
        "ebgan": f"{losses}.energy:ebgan",
        "began": f"{losses}.energy:began",
        "l1": f"{losses}.reconstruction:l1",
        "l2": f"{losses}.reconstruction:l2",
        "r1": f"{penalties}.gradient:r1",
        "r2": f"{penalties}.gradient:r2",
        "wgan-gp": f"{penalties}.gradient:wgan_gp",
        "wgan-lp": f"{penalties}.gradient:wgan_lp",
        "dragan": f"{penalties}.gradient:dragan",
        "clip": f"{penalties}.constraints:clip",
        "ortho": f"{penalties}.constraints:ortho",
        "consistency": f"{penalties}.constraints:consistency",
        "consensus": f"{penalties}.consensus:consensus",
        "instance-noise": f"{augment}.noise:instance_noise",
        "diffaug": f"{augment}.diffaug:diffaug",
        "ada": f"{augment}.ada:ada",
    }


@hookimpl
def ganbench_optimizers() -> Mapping[str, Factory]:
    named = {
        "gd": f"{_HERE}.optimizers:gd",
        "sgd": f"{_HERE}.optimizers:sgd",
        "adam": f"{_HERE}.optimizers:adam",
        "omd": f"{_HERE}.optimizers:omd",
        "optimistic-adam": f"{_HERE}.optimizers:optimistic_adam",
        "optimistic": f"{_HERE}.optimizers:optimistic",
        "lookahead": f"{_HERE}.optimizers:lookahead",
        "lbfgs": f"{_HERE}.optimizers:lbfgs",
        "muon": f"{_HERE}.optimizers:muon",
        "sparseadam": f"{_HERE}.optimizers:sparseadam",
    }
    rest = {name.lower(): f"{_HERE}.torch_optim:{name}" for name in torch_optimizer_names()}
    return rest | named


@hookimpl
def ganbench_schedules() -> Mapping[str, Factory]:
    return {
        "constant": f"{_HERE}.schedules:constant",
        "linear": f"{_HERE}.schedules:linear",
        "cosine": f"{_HERE}.schedules:cosine",
        "warmup": f"{_HERE}.schedules:warmup",
    }


@hookimpl
def ganbench_rules() -> Mapping[str, Factory]:
    return {
        "alternating": "ganbench.rules:alternating",
        "simultaneous": "ganbench.rules:simultaneous",
        "extragradient": "ganbench.rules:extragradient",
        "extragradient-past": "ganbench.rules:extragradient_past",
        "lookahead-minimax": "ganbench.rules:lookahead_minimax",
        "unrolled": "ganbench.unrolled:unrolled",
        "joint": "ganbench.rules:joint",
    }


@hookimpl
def ganbench_data() -> Mapping[str, Factory]:
    return {
        "fashion-mnist-10k": f"{_HERE}.datasets:fashion_mnist_10k",
        "fashion-mnist": f"{_HERE}.datasets:fashion_mnist",
        "digits": f"{_HERE}.datasets:digits",
        "folder": f"{_HERE}.stored:folder",
        "npy": f"{_HERE}.stored:npy",
        "dirac": f"{_HERE}.games:dirac",
        "bilinear": f"{_HERE}.games:bilinear",
        "ring8": f"{_HERE}.games:ring8",
        "grid25": f"{_HERE}.games:grid25",
        "swissroll": f"{_HERE}.games:swissroll",
        "gaussian": f"{_HERE}.games:gaussian",
    }


@hookimpl
def ganbench_extractors() -> Mapping[str, Factory]:
    return {
        "fmnist-cnn-v1": f"{_HERE}.extractors:fmnist_cnn_v1",
        "inception-v3-compat": f"{_HERE}.extractors:inception_v3_compat",
    }


@hookimpl
def ganbench_metrics() -> Mapping[str, Factory]:
    return {
        "fid": f"{_HERE}.metrics:fid",
        "fid-infinity": f"{_HERE}.metrics:fid_infinity",
        "kid": f"{_HERE}.metrics:kid",
        "precision-recall": f"{_HERE}.metrics:precision_recall",
        "density-coverage": f"{_HERE}.metrics:density_coverage",
        "distance-to-equilibrium": f"{_HERE}.point_metrics:distance_to_equilibrium",
        "mode-coverage": f"{_HERE}.point_metrics:mode_coverage",
        "wasserstein": f"{_HERE}.point_metrics:wasserstein",
        "mmd": f"{_HERE}.point_metrics:mmd",
    }


@hookimpl
def ganbench_backends() -> Mapping[str, Factory]:
    return {
        "serial": "ganbench.sweep.backends.serial:serial",
        "local": "ganbench.sweep.backends.local:local",
        "slurm": "ganbench.sweep.backends.slurm:slurm",
    }
