"""Data sets as values with fingerprints: numpy in, numpy out.

`load` finds a set by its name, `from_arrays` takes arrays, `DataSpec` is the request that an experiment file holds.
"""

from neurosal.data.catalogue import names
from neurosal.data.coding import LatencyCoded, RateCoded, RecordedSpikes
from neurosal.data.dataset import Dataset, from_arrays
from neurosal.data.loading import listing, load
from neurosal.data.part import Part
from neurosal.data.spec import DataSpec, MeanAndDeviation, Split, Subset

__all__ = [
    "DataSpec",
    "Dataset",
    "LatencyCoded",
    "MeanAndDeviation",
    "Part",
    "RateCoded",
    "RecordedSpikes",
    "Split",
    "Subset",
    "from_arrays",
    "listing",
    "load",
    "names",
]
