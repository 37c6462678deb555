"""Events on disk: blocks, the log, series, latest values, the record, and writing and checking them."""
