"""Tests of local synaptic rules."""
