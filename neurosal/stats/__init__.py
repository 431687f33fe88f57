"""Measure: arrays in, arrays out."""
