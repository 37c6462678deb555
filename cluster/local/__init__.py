"""What runs on this machine: a local cluster, its home, and jobs without any cluster."""
