"""Functions that return an experiment."""
