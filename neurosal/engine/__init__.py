"""Run: one forward and one feedback sweep a batch, many replicas at once."""
