"""The language of metrics: text to syntax tree to typed terms to a program."""
