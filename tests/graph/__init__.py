"""Tests of descriptions and their files."""
