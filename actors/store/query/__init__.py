"""Queries: planned, read from disk and memory together, as events or as frames."""
