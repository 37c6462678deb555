"""The entries of the catalogue: each function is declared here, once, and nowhere else."""
