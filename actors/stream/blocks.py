"""Blocks of a stream table: consecutive rows as bytes.

A block is a header of 13 bytes (format, row count, length of the body, CRC-32 of the body, big endian) and a body: the
rows as an Arrow IPC stream, compressed with LZ4. How long blocks are is decided here too: short ones at the end are
merged with new rows so that a row is rewritten a few times at most, however small the appends are.
"""

import io
import struct
import zlib

import polars as pl

from actors.errors import SourceError

FORMAT_VERSION = 1
"""Version of a block."""

BLOCK_ROW_COUNT_MAX = 65_536
"""Rows of a full block."""

_HEADER = struct.Struct(">BIII")


def encode_block(frame: pl.DataFrame) -> bytes:
    """Return the bytes of a block with the rows of a frame."""
    body = io.BytesIO()
    frame.rechunk().write_ipc_stream(body, compression="lz4")
    data = body.getvalue()
    return _HEADER.pack(FORMAT_VERSION, frame.height, len(data), zlib.crc32(data)) + data


def block_row_count(block: bytes | memoryview) -> int:
    """Return the number of rows of a block, from its header.

    Raises:
        SourceError: the bytes are no block of this version.
    """
    if len(block) < _HEADER.size:
        raise SourceError(f"a block of the stream table has only {len(block)} bytes; restore the table from a copy")
    version, row_count, _, _ = _HEADER.unpack_from(block)
    if version != FORMAT_VERSION:
        raise SourceError(f"a block of the stream table has format {version}; this version reads {FORMAT_VERSION}")
    return int(row_count)


def decode_block(block: bytes | memoryview) -> pl.DataFrame:
    """Return the rows of a block.

    Raises:
        SourceError: the bytes are damaged, or of another version.
    """
    row_count = block_row_count(block)
    _, _, length, checksum = _HEADER.unpack_from(block)
    body = bytes(block[_HEADER.size :])
    if len(body) != length or zlib.crc32(body) != checksum:
        raise SourceError(f"a block of {row_count} rows of the stream table is damaged; restore the table from a copy")
    return pl.read_ipc_stream(io.BytesIO(body))


def is_merged(last_row_count: int, new_row_count: int) -> bool:
    """Return whether the last block is rewritten together with new rows."""
    return last_row_count + new_row_count <= BLOCK_ROW_COUNT_MAX and last_row_count <= 2 * new_row_count
