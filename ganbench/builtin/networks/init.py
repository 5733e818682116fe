"""Initialisations, as published. All draw from torch's global random state."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["LAYERS", "Init", "initialise", "normalise_spectrum"]

Init: TypeAlias = Literal["glorot", "dcgan", "orthogonal", "torch"]

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def initialise(module: nn.Module, init: Init) -> None:
    """Draw every weight of `module` anew.

    - glorot: weights uniform in ±√(6 / (fan_in + fan_out)), biases 0 (Glorot & Bengio 2010,
      eq. 16; TensorFlow's default).
    - dcgan: weights N(0, 0.02²), batch norm scales N(1, 0.02²), biases 0 (Radford et al. 2016).
    - orthogonal: orthogonal weights, biases 0 (Saxe et al. 2014; BigGAN).
    - torch: what torch's layers draw by themselves; nothing is drawn anew.
    """
    if init == "torch":
        return
    for layer in module.modules():
        if isinstance(layer, LAYERS):
            if init == "glorot":
                nn.init.xavier_uniform_(layer.weight)
            elif init == "dcgan":
                nn.init.normal_(layer.weight, 0.0, 0.02)
            else:
                nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, _BatchNorm) and layer.affine:
            if init == "dcgan":
                nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


def normalise_spectrum(module: nn.Module) -> None:
    """Divide every layer's weight by its largest singular value (Miyato et al. 2018, algorithm 1).

    A convolution's weight is the matrix (out, in·k·k). Each forward pass in training mode makes one
    power iteration; the vectors it keeps are buffers, and so part of the state.
    """
    for layer in list(module.modules()):
        if isinstance(layer, LAYERS):
            nn.utils.parametrizations.spectral_norm(layer)
