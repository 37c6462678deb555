"""Replicated state of a group of members: jobs, assignment, epoch, snapshot manifests, and who leads."""
