"""Vectors: columns of values with NULLs, runs of them, and their bytes."""
