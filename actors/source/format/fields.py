"""Entries of fields, such as those of Redis: each field is the text of a column.

Names are looked up as they are written, then without regard to case. A field that is empty is NULL, but for a column of
text, where it is empty text.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from actors.source.decoding import RowDecoder, RowRules
from actors.source.format.text import field_names, with_stem
from actors.source.records import DecodedRows, Fields, Origin
from config.brokers import FieldsForm


class FieldsFormat:
    """Reads entries whose fields hold columns under given names."""

    rows_max = 1

    def __init__(self, settings: FieldsForm, rules: RowRules) -> None:
        self.fields = field_names(rules.schema, settings.columns)
        self._names = rules.schema.names
        self._rows = RowDecoder(rules)
        self._null_when_missing = settings.missing == "null"
        self._is_text = {column.name: column.type.is_text for column in rules.schema.columns}

    def decoder(self, origin: Origin) -> Callable[[Fields], DecodedRows]:
        """Return what decodes the entries of a stream."""
        names = {column: (field.encode(), field.lower()) for column, field in self.fields.items()}

        def decode(content: Fields) -> DecodedRows:
            columns: dict[str, list[str | None]] = {column: [] for column in names}
            kept: list[int] = []
            faults: dict[int, str] = {}
            for number, entry in enumerate(content.rows):
                values = self._values(names, entry)
                if isinstance(values, str):
                    faults[number] = values
                    continue
                kept.append(number)
                for column, value in zip(names, values, strict=True):
                    columns[column].append(value)
            places = np.array(kept, dtype=np.int64)
            whole = with_stem(columns, self._names, origin, places.size)
            return self._rows.decode(whole).among(places, faults)

        return decode

    def _values(self, names: Mapping[str, tuple[bytes, str]], entry: Mapping[bytes, bytes]) -> list[str | None] | str:
        """Return the values of the columns, or what is wrong with the entry."""
        values: list[str | None] = []
        folded: Mapping[Any, bytes] | None = None
        for column, (name, lower) in names.items():
            raw = entry.get(name)
            if raw is None:
                folded = folded or {other.decode(errors="replace").lower(): value for other, value in entry.items()}
                raw = folded.get(lower)
            if raw is None and not self._null_when_missing:
                return f"the entry has no field {name.decode()!r}"
            if not raw:
                values.append("" if raw is not None and self._is_text[column] else None)
                continue
            try:
                values.append(raw.decode())
            except UnicodeDecodeError:
                return f"the field {name.decode()!r} is not UTF-8 text"
        return values
