"""Sources that others push into: what arrives is kept in a journal, on disk before anybody is told that it is kept."""
