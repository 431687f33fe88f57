"""Runs of several processes: real ones, on this machine."""
