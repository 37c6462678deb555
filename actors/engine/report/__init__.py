"""What the engine reports: anomalies with their reasons, costs, counters, the reference of its language."""
