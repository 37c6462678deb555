"""Files of lines as records: CSV, NDJSON and logs, decoded block by block."""

from collections.abc import Callable
from pathlib import Path

from actors.source.decoding import DecodedRows, RowDecoder, RowRules
from actors.source.format.csv import CsvReader, find_columns, read_names
from actors.source.format.log import LogReader, record_beginnings
from actors.source.format.ndjson import NdjsonReader
from actors.source.protocol import Offsets
from actors.source.transport.files import RecordBlock, field_names, stem_column
from actors.source.transport.lines import LineBlock, LineFile, split_lines
from config.sources import CsvSource, LogSource, NdjsonSource

Decode = Callable[[bytes], tuple[DecodedRows, Offsets, dict[int, str]]]
"""Decodes a block: rows of the good lines, the numbers of these lines, and what is wrong with the others."""


class LineRecordFile:
    """The records of one file of lines."""

    def __init__(self, lines: LineFile, make_decoder: Callable[[LineFile], Decode], record_size_bytes_max: int) -> None:
        self._lines = lines
        self._make_decoder = make_decoder
        self._decode: Decode | None = None
        self._record_size_bytes_max = record_size_bytes_max
        self.path = lines.path

    @property
    def is_complete(self) -> bool:
        """Whether nothing will be added to the file."""
        return self._lines.is_complete

    @is_complete.setter
    def is_complete(self, is_complete: bool) -> None:
        self._lines.is_complete = is_complete

    def record_count(self) -> int:
        """Return the records there are now."""
        self._check_header()
        return self._lines.record_count()

    def block_with(self, record: int) -> RecordBlock | None:
        """Return a block that holds a record, or `None` when the file has not that many."""
        self._check_header()
        block = self._lines.block_with(record)
        if block is None:
            return None
        assert self._decode is not None
        if block.is_too_long:
            return self._too_long(block, self._decode)
        decoded, numbers, faults = self._decode(block.content)
        faults |= {int(numbers[row]): reason for row, reason in decoded.faults.items()}
        lines = split_lines(block.content) if faults else None
        letters = []
        for number, reason in sorted(faults.items()):
            assert lines is not None
            raw = block.content[lines.starts[number] : lines.ends[number]]
            letters.append((block.first_record + number, reason, raw))
        return RecordBlock(
            first_record=block.first_record,
            record_count=block.record_count,
            frame=decoded.frame,
            records=numbers[decoded.rows] + block.first_record,
            faults=tuple(letters),
        )

    def _check_header(self) -> None:
        # A header that lacks columns is told before the first row comes.
        if self._decode is None and self._lines.header() is not None:
            self._decode = self._make_decoder(self._lines)

    def _too_long(self, block: LineBlock, decode: Decode) -> RecordBlock:
        reason = f"the line is longer than {self._record_size_bytes_max} bytes"
        decoded, numbers, _ = decode(b"")
        return RecordBlock(
            first_record=block.first_record,
            record_count=block.record_count,
            frame=decoded.frame,
            records=numbers,
            faults=((block.first_record, reason, block.content),),
        )


def open_csv(source: CsvSource, rules: RowRules, path: Path, is_complete: bool) -> LineRecordFile:
    """Return the records of a CSV file; its header is read with the first block."""
    limit = source.record_size_bytes_max
    rows = RowDecoder(rules)

    def make_decoder(lines: LineFile) -> Decode:
        fields = field_names(rules.schema, source.columns)
        names = read_names(lines.header() or b"", path, source.separator) if source.header else list(fields.values())
        reader = CsvReader(names, find_columns(names, fields, path), source.separator, source.null_values)

        def decode(content: bytes) -> tuple[DecodedRows, Offsets, dict[int, str]]:
            columns, numbers, faults = reader.read(content, limit)
            for name in rules.schema.names:
                if name not in columns:
                    columns[name] = stem_column(path, numbers.size).alias(name)
            return rows.decode(columns), numbers, faults

        return decode

    lines = LineFile(path, has_header=source.header, record_size_bytes_max=limit, is_complete=is_complete)
    return LineRecordFile(lines, make_decoder, limit)


def open_ndjson(source: NdjsonSource, rules: RowRules, path: Path, is_complete: bool) -> LineRecordFile:
    """Return the records of an NDJSON file."""
    limit = source.record_size_bytes_max
    rows = RowDecoder(rules)
    fields = field_names(rules.schema, source.columns)
    reader = NdjsonReader(fields, null_when_missing=source.missing == "null")
    missing = [name for name in rules.schema.names if name not in fields]

    def decode(content: bytes) -> tuple[DecodedRows, Offsets, dict[int, str]]:
        columns, numbers, faults = reader.read(content, limit)
        for name in missing:
            columns[name] = [path.stem] * numbers.size
        return rows.decode_values({name: columns[name] for name in rules.schema.names}, numbers.size), numbers, faults

    lines = LineFile(path, has_header=False, record_size_bytes_max=limit, is_complete=is_complete)
    return LineRecordFile(lines, lambda _: decode, limit)


def open_log(source: LogSource, rules: RowRules, path: Path, is_complete: bool) -> LineRecordFile:
    """Return the records of a log."""
    limit = source.record_size_bytes_max
    rows = RowDecoder(rules)
    fields = field_names(rules.schema, source.columns)
    reader = LogReader(source, fields, rules.schema[rules.time_column].name, path)

    def decode(content: bytes) -> tuple[DecodedRows, Offsets, dict[int, str]]:
        columns, numbers, faults = reader.read(content, limit)
        for name in rules.schema.names:
            if name not in columns:
                columns[name] = stem_column(path, numbers.size).alias(name)
        return rows.decode(columns), numbers, faults

    lines = LineFile(
        path,
        has_header=False,
        record_size_bytes_max=limit,
        is_complete=is_complete,
        beginnings=record_beginnings(source),
    )
    return LineRecordFile(lines, lambda _: decode, limit)
