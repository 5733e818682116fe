"""One contender in a process of its own: reads a JSON request a line, answers with a JSON line.

    {"do": "set_up", "network": "mlp", "batch_size": 128}   proof that it does the work
    {"do": "play", "steps": 20}                             {"steps", "wall_s", "cpu_s"}
    {"do": "matmul"}                                        GFLOP/s of a product, at its precision

`worker.py NAME PRECISION THREADS`. What a contender prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from work import Contender, Work

from ganbench.devices import matmul_gflops_per_s_now
from ganbench.flops import flop_counter

_CHECKED_STEPS = 3
_LOGITS = ([2.0, -1.0, 0.5, -3.0], [-2.0, 0.25, 1.5, -0.75])


class Worker:
    def __init__(self, name: str, precision: str, threads: str) -> None:
        self.make = import_module(f"contenders.{name}").contender
        self.precision = precision
        self.threads = int(threads)

    def set_up(self, network: str, batch_size: int) -> dict[str, Any]:
        work = Work(network, batch_size)
        self.contender = self.make(work, self.precision)
        torch.set_num_threads(self.threads)  # whatever making it set
        return {
            "work": proof_of_work(self.contender, work),
            "torch": version("torch"),
            "threads": torch.get_num_threads(),
        }

    def play(self, steps: int) -> dict[str, Any]:
        return asdict(self.contender.play(steps))

    def matmul(self) -> dict[str, Any]:
        return {"gflops_per_s": matmul_gflops_per_s_now(torch.device("cpu"), self.precision)}


def proof_of_work(contender: Contender, work: Work) -> dict[str, Any]:
    """What one step does, counted; and the losses at fixed logits."""
    calls, updates = {"g": 0, "d": 0}, {"g": 0, "d": 0}
    owners = {id(p): "g" for p in contender.g.parameters()}
    owners |= {id(p): "d" for p in contender.d.parameters()}

    def count_examples(name: str) -> Any:
        def hook(module: nn.Module, args: Any) -> None:
            if module.training:  # samples at an epoch's end are no part of a step
                calls[name] += len(args[0])

        return hook

    def count_update(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        updates[owners[id(optimizer.param_groups[0]["params"][0])]] += 1

    handles = [
        contender.g.register_forward_pre_hook(count_examples("g")),
        contender.d.register_forward_pre_hook(count_examples("d")),
        register_optimizer_step_post_hook(count_update),
    ]
    with flop_counter() as counter:
        contender.play(_CHECKED_STEPS)
    for handle in handles:
        handle.remove()
    # A trainer that is timed through its loader plays one step more than it times.
    steps = updates["g"]
    real, fake = map(torch.tensor, _LOGITS)
    d_loss, g_loss = contender.losses(real, fake)
    return {
        "g_parameters": sum(p.numel() for p in contender.g.parameters()),
        "d_parameters": sum(p.numel() for p in contender.d.parameters()),
        "d_updates_per_g_update": updates["d"] / steps,
        "d_examples_per_step": calls["d"] / steps,
        "g_examples_per_step": calls["g"] / steps * (2 if contender.shares_fakes else 1),
        "shares_fakes": contender.shares_fakes,
        "gflops_per_step": counter.get_total_flops() / steps / 1e9,
        "d_loss": round(float(d_loss), 5),
        "g_loss": round(float(g_loss), 5),
    }


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a contender prints must not mix with the answers
    warnings.simplefilter("ignore")
    worker: Worker | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            worker = worker or Worker(*sys.argv[1:])
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
