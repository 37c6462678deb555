"""Episodes: how long a metric holds for a key, and keys that have fallen silent."""
