"""What all tests share."""

from __future__ import annotations

import os

# Figures are written to files; a test must never open a window, whatever the machine's settings say.
os.environ["MPLBACKEND"] = "agg"

# Networks in tests are small: a second thread would only wait, and on a busy machine make a run several times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
