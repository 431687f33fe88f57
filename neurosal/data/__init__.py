"""Data sets as values with fingerprints."""
