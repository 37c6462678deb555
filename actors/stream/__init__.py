"""Stream tables: the embedded input that can be replayed."""
