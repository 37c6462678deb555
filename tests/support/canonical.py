"""The one physical form of rows, as tests see it."""

import polars as pl

from actors.frames import polars_schema
from actors.model import Schema


def is_canonical(schema: Schema, frame: pl.DataFrame) -> bool:
    """Return whether a frame has the schema's columns, in order and in physical types (NaN is not looked for)."""
    return frame.columns == list(schema.names) and frame.dtypes == list(polars_schema(schema).values())
