"""What is measured in a process of its own, because its memory counts: ``python -m neurosal.bench.child REQUEST``.

Peak memory is the kernel's high-water mark of resident memory (Linux), put back to what is resident before the first
step. Of deep nets the allocator is told to give freed blocks back at once, so that what is resident is what is held. On
a GPU it is torch's own count of allocated bytes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from neurosal.bench import images
from neurosal.bench.contenders import Contender
from neurosal.bench.contenders import ours as routed
from neurosal.bench.residual import RULES, ResidualWork, ours, theirs
from neurosal.bench.timing import Effort, copy_rate, matrix_rate, seconds
from neurosal.bench.works import Work
from neurosal.errors import NeurosalError

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# glibc keeps freed blocks below a threshold that grows by itself, unless it is set.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
STEPS = 3
CHECKED = 2 << 30  # bytes of weights, up to which the check has room for a second copy of them


def measured(request: dict[str, Any]) -> dict[str, Any]:
    """Ask a child process; its answer.

    Raises:
        NeurosalError: with what it said last, when it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "neurosal.bench.child", json.dumps(request), str(answer)]
        # Where time counts too, memory is held as it always is.
        environment = {**os.environ, **(GIVE_BACK if request["task"] != "scale" else {})}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0 or not answer.exists():
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise NeurosalError(f"bench: a process of {request} ended with {done.returncode}: {last[:300]}")
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def can_measure(device: str = "cpu") -> bool:
    """Whether peak memory can be told here."""
    return torch.device(device).type == "cuda" or os.access(CLEAR, os.W_OK)


def memory(request: dict[str, Any]) -> dict[str, Any]:
    """Peak memory of `STEPS` steps of a residual net, beside the bytes of its weights."""
    device, name = request["device"], request["contender"]
    torch.set_num_threads(request["threads"])
    _residual(ResidualWork(1, 8, 8), name, device, {}).step()  # code and buffers that come with the first step
    contender = _residual(ResidualWork(*request["work"]), name, device, request.get("options", {}))
    return _peak_of(contender, device)


def of_images(request: dict[str, Any]) -> dict[str, Any]:
    """The same of a convolutional net."""
    device, name = request["device"], request["contender"]
    torch.set_num_threads(request["threads"])
    _image(images.ImageWork(2, side=8, width=4), name, device).step()
    return _peak_of(_image(images.ImageWork(*request["work"]), name, device), device)


def _image(work: images.ImageWork, name: str, device: str) -> Contender:
    if name in images.RULES:
        return images.ours(work, name, device=device)
    return images.theirs(work, "fused", autocast="bfloat16" if "autocast" in name else None, device=device)


def _peak_of(contender: Contender, device: str) -> dict[str, Any]:
    before = _resident(device)
    _forget_peak(device)
    for _ in range(STEPS):
        contender.step()
    peak = _peak(device)
    difference = contender.check()
    return {"above_bytes": peak - before, "difference_of_one_step": difference}


def _residual(work: ResidualWork, name: str, device: str, options: dict[str, Any]) -> Contender:
    return ours(work, name, device=device, **options) if name in RULES else theirs(work, name, device=device)


def scale(request: dict[str, Any]) -> dict[str, Any]:
    """Time of a step of `sal`, and the peak memory of all of the process, its first values included."""
    torch.set_num_threads(request["threads"])
    device = request["device"]
    work = Work(tuple(request["sizes"]), request["batch"], areas=request["areas"])
    contender = routed(work, request["rule"], device=device)
    contender.step()
    taken = [seconds(contender.step, 1, device) for _ in range(request["steps"])]
    weights = contender.extra()["weight_bytes"]
    found: dict[str, Any] = {
        "peak_bytes": _peak(device),
        "weight_bytes": weights,
        "median_s": statistics.median(taken),
        "low_s": min(taken),
        "high_s": max(taken),
        "threads": request["threads"],
        "turns": len(taken),
        "operations": contender.cost.operations,
        "bytes": contender.cost.bytes,
    }
    if weights <= CHECKED:
        found["difference_of_one_step"] = contender.check()
    effort = Effort((request["threads"],), device=device, quick=request["quick"])
    rates = matrix_rate(effort), copy_rate(effort, weights)
    found["matrix_rate_gflops"], found["copy_rate_gbs"] = (round(rate / 1e9, 1) for rate in rates)
    found["floor_s"] = contender.cost.floor(*rates)
    return found


def _resident(device: str) -> int:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        return int(torch.cuda.memory_allocated())
    return _status("VmRSS")


def _forget_peak(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        CLEAR.write_text("5")


def _peak(device: str) -> int:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated())
    return _status("VmHWM")


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


TASKS = {"memory": memory, "images": of_images, "scale": scale}

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    try:
        result = TASKS[asked["task"]](asked)
    except NeurosalError as error:
        sys.exit(str(error))
    Path(sys.argv[2]).write_text(json.dumps(result))
