"""Properties over random graphs."""
