"""What a run was made with: versions, platform, threads, revision of the code. Nothing that names the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import neurosal
from neurosal.version import __version__

PACKAGES = ("torch", "numpy", "zarr", "xarray", "safetensors", "networkx", "pydantic", "brian2")


def environment() -> dict[str, Any]:
    """Versions of Python and of the packages that results depend on, platform, threads, and the code's git revision."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    content: dict[str, Any] = {
        "neurosal": __version__,
        "python": platform.python_version(),
        "packages": packages,
        "platform": {"system": platform.system(), "machine": platform.machine(), "cpus": os.cpu_count() or 1},
        "threads": _threads(),
    }
    if (revision := code_revision()) is not None:
        content["revision"] = revision
    return content


def _threads() -> int:
    torch = sys.modules.get("torch")  # asked only where it is there already: this file works without
    if torch is not None:
        return int(torch.get_num_threads())
    setting = os.environ.get("OMP_NUM_THREADS", "")
    return int(setting) if setting.isdecimal() and int(setting) > 0 else os.cpu_count() or 1


@cache
def code_revision() -> str | None:
    """The git revision of the code, with ``+changes`` where files differ from it; None for an installed copy."""
    folder = Path(neurosal.__path__[0])

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "version.py")  # an environment inside someone else's repository is not ours
        revision = git("rev-parse", "HEAD")
        return f"{revision}+changes" if git("status", "--porcelain", "--untracked-files=no") else revision
    except (OSError, subprocess.SubprocessError):
        return None
