"""Speed, measured: contenders side by side in one process, interleaved, medians as ratios. `neurosal bench` runs it."""

from neurosal.bench.command import main

__all__ = ["main"]
