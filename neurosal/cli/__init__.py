"""The command line. torch is imported by the commands that compute, and by no other."""

from neurosal.cli.application import app, main

__all__ = ["app", "main"]
