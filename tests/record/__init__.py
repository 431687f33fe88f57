"""Tests of neurosal.record."""
