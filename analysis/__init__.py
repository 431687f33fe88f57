"""Stored run in, labelled arrays and figure out."""
