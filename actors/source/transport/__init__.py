"""Transports: what brings records with positions: files, a stream table, this host, the job file."""
