"""Runs in a measured installation: imports ganbench, then forks a fresh worker on each request.

The source of this file is sent to both installations, whatever version of ganbench they have, so it
uses the standard library, torch, and the path that every run takes: make_plan, build_game, play.

Requests and answers are lines of JSON on stdin and stdout, one answer a request:

    {"do": "start", "threads": n, "specs": {case: settings}}   import, plan, load data
    {"do": "fork", "case": name, "core": i, "warmup": n}       a child: build the game, warm up
                                                               (with "stay": the server itself)
    {"do": "play", "steps": n}                                 time n steps (in the child)
    {"do": "end"}                                              peak memory; the child leaves

An answer has `error` where something failed. At most one child lives at a time, and it owns both
pipes while it does. The end of stdin ends both, so nothing outlives the process that measures.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from typing import Any


def main() -> None:
    """Answer requests until stdin ends. What ganbench or a plugin prints goes to stderr."""
    sys.path[:] = [path for path in sys.path if path]  # the folder of the caller is no package
    requests = os.fdopen(os.dup(0), "rb", buffering=0)  # unbuffered: a child reads on from here
    answers = os.dup(1)
    os.dup2(2, 1)
    started: dict[str, Any] = {}
    while line := requests.readline():
        request = json.loads(line)
        if request["do"] == "start":
            _answer(answers, _try(_start, request, started))
        elif request["do"] == "fork":
            _fork(request, started, requests, answers)
        else:
            _answer(answers, {"error": f"no worker to {request['do']}", "kind": "protocol"})


def _answer(answers: int, content: dict[str, Any]) -> None:
    os.write(answers, json.dumps(content).encode() + b"\n")


def _try(function: Any, *args: Any) -> dict[str, Any]:
    try:
        return dict(function(*args))
    except Exception as error:
        kind = "spec" if getattr(error, "exit_code", 1) == 2 else "crash"
        text = str(error) if kind == "spec" else f"{type(error).__name__}: {error}"
        return {"error": text, "kind": kind, "traceback": traceback.format_exc()}


def _start(request: dict[str, Any], started: dict[str, Any]) -> dict[str, Any]:
    """Import everything a worker needs and say what this installation is."""
    import torch

    import ganbench

    torch.set_num_threads(request["threads"])
    from ganbench.plan import make_plan
    from ganbench.registry import default_registry
    from ganbench.spec import RunSpec

    registry = default_registry()
    for case, settings in request["specs"].items():
        plan = make_plan(RunSpec(**settings), registry)
        data = plan.data.create(plan.spec.data_root)
        started[case] = (plan, data)
        # Built once here, on the CPU, so that no child imports anything. No step is played: a
        # process that has used CUDA or an autograd thread can't be forked.
        _build(plan, data, torch.device("cpu"))
    gc.collect()
    gc.freeze()
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return {
        "ganbench": ganbench.__version__,
        "folder": os.path.dirname(os.path.abspath(ganbench.__file__)),
        "files": [file for file in files if file and file.endswith(".py")],
        "environment": _environment(torch, started),
        "components": {
            case: {
                key: [[part.name, str(getattr(part.registered.plugin, "version", None))] for part in
                parts] for key, parts in plan.parts().items() if key not in ("metrics", "extractor")
            }
            for case, (plan, _) in started.items()
        },
    }  # fmt: skip


def _environment(torch: Any, started: dict[str, Any]) -> dict[str, Any]:
    """What must be the same on both sides for a timing to mean anything."""
    try:
        with open("/proc/cpuinfo") as file:
            models = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        models = []
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu": models[0] if models else os.uname().machine,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": sorted({str(plan.spec.device) for plan, _ in started.values()}),
    }


def _build(plan: Any, data: Any, device: Any) -> tuple[Any, Any]:
    from ganbench.game import build_game

    return build_game(plan, data, device), plan.rule.create()


def _fork(request: dict[str, Any], started: dict[str, Any], requests: Any, answers: int) -> None:
    """Let a child answer until it is told to end; say so if it dies instead.

    With `stay` the server itself is the worker and leaves at the end: vgdb can't follow a fork.
    """
    child = 0 if request.get("stay") else os.fork()
    if child == 0:
        code = 1
        try:
            code = _child(request, started, requests, answers)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        _answer(answers, {"error": f"the worker ended with {how}", "kind": "crash"})


def _child(request: dict[str, Any], started: dict[str, Any], requests: Any, answers: int) -> int:
    worker: dict[str, Any] = {}
    answer = _try(_warm_up, request, started, worker)
    _answer(answers, answer)
    while "error" not in answer and (line := requests.readline()):
        request = json.loads(line)
        answer = _try(_end if request["do"] == "end" else _play, request, worker)
        _answer(answers, answer)
        if request["do"] == "end":
            break
    return 0


def _warm_up(request: dict[str, Any], started: dict[str, Any], worker: dict[str, Any]) -> Any:
    """Build the game and play `warmup` steps. Answers the wall seconds of the last one."""
    import torch

    from ganbench import devices
    from ganbench.streams import isolated

    if request["core"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {request["core"]})
    plan, data = started[request["case"]]
    device = torch.device(plan.spec.device)
    # This file also runs in older versions, which have no such setting.
    settings = {"onednn": True} if getattr(plan.spec, "onednn", False) else {}
    devices.set_up(device, request["threads"], plan.spec.precision, **settings)
    worker["isolated"] = isolated()
    worker["isolated"].__enter__()
    game, rule = _build(plan, data, device)
    worker.update(game=game, rule=rule, device=device, devices=devices, torch=torch)
    devices.reset_peak_memory(device)
    for _ in range(request["warmup"]):
        step_s = _play({"steps": 1}, worker)["wall_s"]
    return {"step_s": step_s, "images_per_step": game.nimg / game.step}


def _play(request: dict[str, Any], worker: dict[str, Any]) -> dict[str, Any]:
    """Time `steps` steps: wall and CPU seconds of the whole process, and device seconds."""
    game, rule, device = worker["game"], worker["rule"], worker["device"]
    synchronize, events = worker["devices"].synchronize, None
    synchronize(device)
    if device.type == "cuda":
        events = [worker["torch"].cuda.Event(enable_timing=True) for _ in range(2)]
        events[0].record()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(request["steps"]):
        game.play(rule)
    if events:
        events[1].record()
    synchronize(device)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    device_s = events[0].elapsed_time(events[1]) / 1000 if events else None
    return {"wall_s": wall, "cpu_s": cpu, "device_s": device_s, "memory": _memory(worker)}


def _memory(worker: dict[str, Any]) -> int:
    """Bytes in use now: the device's allocator, or resident memory."""
    if worker["device"].type == "cuda":
        return int(worker["torch"].cuda.memory_allocated(worker["device"]))
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _end(_request: dict[str, Any], worker: dict[str, Any]) -> dict[str, Any]:
    finite = all(
        bool(p.isfinite().all())
        for one in (worker["game"].generator, worker["game"].discriminator)
        for p in one.module.parameters()
    )
    peak = int(worker["devices"].peak_memory_bytes(worker["device"]))
    return {"peak_memory": peak, "finite": finite, "steps": worker["game"].step}


if __name__ == "__main__":
    main()
