"""One page of everything that a run recorded: an HTML file that opens offline."""

from neurosal.analysis.reporting.member import report

__all__ = ["report"]
