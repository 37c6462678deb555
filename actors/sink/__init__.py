"""Sinks: committed anomalies out."""
