"""Optimizers that can't play a GAN step by step, each with the reason that its user reads."""

from __future__ import annotations

__all__ = ["REASONS"]

_SEVERAL_GRADIENTS = (
    "it takes several gradients inside one step, and here the rule decides where gradients are "
    "taken; a rule that looks ahead: --rule extragradient"
)
_SECOND_DERIVATIVES = (
    "it differentiates the gradient again, for which the graph of the backward pass would have "
    "to be kept; without second derivatives: adabelief"
)
_SEVERAL_PROCESSES = (
    "it needs a process group of torch.distributed, and a run here is one process; "
    "in one process: po-muon"
)
_IN_BACKWARD = (
    "it updates the weights inside the backward pass, and here the rule decides when a player "
    "moves; close to it: adamw"
)
_SEVERAL_TASKS = "it combines the gradients of several tasks, and a player here has one loss"
_OBJECTS = (
    "its state holds Python objects, which a checkpoint can't, so that a run with it could not "
    "be continued; close to it: "
)

REASONS = {
    "AdaHessian": _SECOND_DERIVATIVES,
    "AdaLOMO": _IN_BACKWARD,
    "AdaShift": "its queue of gradients loses its length in load_state_dict, so that it stands "
    "still in a continued run; close to it: adam",
    "BSAM": _SEVERAL_GRADIENTS,
    "Conda": _OBJECTS + "soap",
    "DeMo": _SEVERAL_PROCESSES,
    "DistributedMuon": _SEVERAL_PROCESSES,
    "FriendlySAM": _SEVERAL_GRADIENTS,
    "GSAM": _SEVERAL_GRADIENTS,
    "LOMO": _IN_BACKWARD,
    "LoRARite": "it trains the two factors of a LoRA adapter, and the networks here have none",
    "LookSAM": _SEVERAL_GRADIENTS,
    "PCGrad": _SEVERAL_TASKS,
    "RotoGrad": _SEVERAL_TASKS,
    "SAM": _SEVERAL_GRADIENTS,
    "ScalableShampoo": _OBJECTS + "shampoo",
    "SophiaH": _SECOND_DERIVATIVES,
    "SpectralSphere": "it takes matrices only, and networks have biases too; for the matrices "
    "alone, with AdamW for the rest: po-muon",
    "WSAM": _SEVERAL_GRADIENTS,
}
