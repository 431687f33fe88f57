"""Validate: every problem of a circuit or an experiment at once; what is checked is never changed."""
