"""Deployment: the only place where classes become Ray actors."""
