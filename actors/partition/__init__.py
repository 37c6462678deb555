"""One partition: engine, detectors, store and tables of a share of the keys, joined in one shard."""
