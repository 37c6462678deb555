"""The functions of metrics: one catalogue, and what each computes over vectors."""
