"""Files that are on no machine of the cluster, read from stores by pieces."""
