"""Checks of a store on disk."""
