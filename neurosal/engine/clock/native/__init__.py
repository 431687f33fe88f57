"""The clock on a processor, where it is compiled: one program in C++ for the equations of a circuit.

emitting.py writes the equations, program.cpp is the rest, building.py compiles both, layout.py has their structures.
A step of a circuit whose synapses change is then made slot by slot (`Units`, `Lookup`, `Adding`), with operations of
torch between them; where nothing else happens the program makes many steps alone (`Windows`).
"""

from neurosal.engine.clock.native.building import built
from neurosal.engine.clock.native.emitting import Equations
from neurosal.engine.clock.native.lookup import Adding, Lookup
from neurosal.engine.clock.native.summing import Summing
from neurosal.engine.clock.native.units import Units, Varying
from neurosal.engine.clock.native.windows import Sent, Windows

__all__ = ["Adding", "Equations", "Lookup", "Sent", "Summing", "Units", "Varying", "Windows", "built"]
