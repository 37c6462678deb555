"""What people are shown: tables, JSON, files, the live view. Values in, text out."""
