"""The graphs that rules add, their options, and the contract that all of them keep."""
