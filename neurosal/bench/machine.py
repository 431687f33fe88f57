"""On what figures were measured: the processor, its caches and memory, versions, the date and the revision of the code.
Nothing that names the machine."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from neurosal.record.environment import code_revision

CPU_INFO, CACHES = Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu/cpu0/cache")


def machine(device: str = "cpu") -> dict[str, Any]:
    """The description; what this system does not tell is left out."""
    found: dict[str, Any] = {
        "processor": _processor(), "cores": os.cpu_count(), "caches": _caches(), "memory_bytes": _memory(),
        "system": platform.system(), "python": platform.python_version(), "torch": torch.__version__,
        "torch_libraries": _libraries(),
        "capability": torch.backends.cpu.get_cpu_capability(), "device": device,
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "revision": code_revision(),
    }  # fmt: skip
    if torch.device(device).type == "cuda":
        found["device_name"] = torch.cuda.get_device_name(device)
        found["device_memory_bytes"] = torch.cuda.get_device_properties(device).total_memory
    return {name: value for name, value in found.items() if value not in (None, {})}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _libraries() -> list[str]:
    """What torch multiplies with; how it was built says paths of another machine."""
    lines = [line.strip(" -") for line in torch.__config__.show().splitlines()]
    return [line.partition("-Product")[0] for line in lines if "Kernel Library" in line or "MKL-DNN v" in line]


def _processor() -> str:
    for line in _read(CPU_INFO).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Level and type → size, of the first core."""
    found = {}
    for index in sorted(CACHES.glob("index*")) if CACHES.exists() else ():
        kind = {"Data": "d", "Instruction": "i"}.get(_read(index / "type"), "")
        found[f"L{_read(index / 'level')}{kind}"] = _read(index / "size")
    return found


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
