"""The engine against references that share nothing with it."""
