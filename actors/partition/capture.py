"""Captures: a partition's snapshot before it is bytes.

A capture is made between two batches and costs little more than a copy of the engine's arrays; it is made bytes of in
another thread, while rows go on, and those are the bytes that a partition at rest would give.
"""

from collections.abc import Iterator, Mapping

import msgpack

from actors.engine.snapshot import Capture, Piece, bytes_head
from actors.partition.part import Fields
from actors.partition.sealing import seal_pieces


class PartitionCapture:
    """What a partition had at some offsets."""

    def __init__(self, key: bytes, offsets: Mapping[int, int], body: Fields) -> None:
        """Keep the fields of a snapshot; all but captures of engines are made bytes at once, since rows change them."""
        self.offsets = dict(offsets)
        """First offset that the snapshot does not contain, by split."""

        self._key = key
        self._fields: list[tuple[str, Capture | bytes]] = [
            (name, value if isinstance(value, Capture) else msgpack.packb(value)) for name, value in body.items()
        ]

    def pieces(self) -> Iterator[Piece]:
        """Yield the bytes of the snapshot in pieces, some of them empty; between two a caller may rest."""
        yield from seal_pieces(self._key, self._body())

    def _body(self) -> Iterator[Piece]:
        packer = msgpack.Packer()
        yield packer.pack_map_header(len(self._fields))
        for name, value in self._fields:
            yield packer.pack(name)
            if isinstance(value, bytes):
                yield value
                continue
            pieces: list[Piece] = []
            for piece in value.pieces():
                pieces.append(piece)
                yield b""
            yield bytes_head(sum(map(len, pieces)))
            yield from pieces
