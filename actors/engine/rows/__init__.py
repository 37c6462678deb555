"""The executor for few rows: one generated Python function over the state that vectors use too."""
