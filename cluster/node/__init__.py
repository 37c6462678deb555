"""The node: the process that makes a machine part of the cluster, and what it starts and watches."""
