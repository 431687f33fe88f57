"""What all tests share."""

from __future__ import annotations

import os

# Figures are written to files; a test must never open a window, whatever the machine's settings say.
os.environ["MPLBACKEND"] = "agg"
