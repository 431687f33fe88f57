"""Functions that return a circuit."""
