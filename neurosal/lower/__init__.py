"""Compile: a circuit becomes a plan and a network of tensors."""
