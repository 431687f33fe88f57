"""Slow references in plain numpy: loops over replicas, samples and areas, written from the equations and sharing no
code with the engine.
"""
