"""Keys: their numbers, and what is kept of each."""
