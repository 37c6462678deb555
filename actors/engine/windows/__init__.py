"""Windows: panes that fill, windows that close, and the aggregates over them."""
