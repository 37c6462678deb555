"""The composition root: command line, deployment, leadership, scaling and failover."""
