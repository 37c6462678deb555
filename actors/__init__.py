"""The parts of a partition: engine, shard, store, persistency, detectors, streams, and the actors that host them."""
