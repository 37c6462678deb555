"""The commands of `tocsin`, a module for each thing they work on; `cluster.cli` joins them."""
