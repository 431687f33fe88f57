"""neurosal: circuits that learn without weight symmetry."""
