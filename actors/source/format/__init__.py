"""Formats: what turns bytes or records into raw columns, whatever brought them."""
