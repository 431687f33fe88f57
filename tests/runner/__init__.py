"""Training, probes and experiments: what a run holds, beside what is computed by hand."""
