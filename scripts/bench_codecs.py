"""Compare the store's own block codec with Arrow IPC and Parquet as block codecs, in one run, interleaved, as ratios.

Blocks hold the same rows as those of `scripts/bench_store.py`. Arrow IPC and Parquet are written and read by Polars,
with zstd, in two ways: the payloads as one column of bytes ("bytes"), and each field of the payloads as a column
("fields"), with the store's own parser in front, since payloads arrive as msgpack. The "fields" variants leave out
what exactness needs on top (which rows lack a field, integers beside floats, rows of other layouts), so they look
better than they would be.

    python scripts/bench_codecs.py [--events N] [--rounds N]

Ratios are relative to the store's own codec: below 1 is better for bytes and seconds.
"""

import argparse
import gc
import io
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import polars as pl
from bench_store import TYPE_COUNT, make_rows

from actors.store.disk.blocks import DEFLATED, Block, encode_block
from actors.store.disk.log import BLOCK_PAYLOAD_BYTES, BLOCK_ROW_COUNT
from actors.store.disk.payload_writing import PayloadEncoder
from actors.store.events.columns import Columns, cut_rows, make_columns, slice_columns
from actors.store.events.event import Event, EventId, JsonPayload, Timestamp
from actors.store.events.payload_parsing import FLOAT, INTEGER, TEXT, Buffer, keys_of, parse_rows
from actors.store.query.fields import read_field
from actors.store.query.reading import events_of

RESULT_COUNT = 1000
FIELD = "value"
IDS = ("server", "session", "instance")


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to write a block and to read what queries need of it."""

    encode: Callable[[Columns], bytes]
    newest: Callable[[bytes], Sequence[Event]]
    types: Callable[[bytes], Any]
    field: Callable[[bytes], pl.Series]


def own_codec(types: Sequence[tuple[str, ...]]) -> Codec:
    """Return the store's own."""

    def encode(columns: Columns) -> bytes:
        return encode_block(columns, DEFLATED, fields=PayloadEncoder(columns).encode(0, len(columns)))

    def newest(raw: bytes) -> Sequence[Event]:
        block = Block(raw, "a block")
        return events_of(block, np.arange(len(block))[::-1][:RESULT_COUNT], types)

    def field(raw: bytes) -> pl.Series:
        block = Block(raw, "a block")
        return read_field(block, np.arange(len(block)), FIELD, pl.Float64)

    return Codec(encode, newest, lambda raw: Block(raw, "a block").types, field)


def polars_codec(types: Sequence[tuple[str, ...]], is_parquet: bool, by_fields: bool) -> Codec:
    """Return one that writes frames."""

    def write(frame: pl.DataFrame) -> bytes:
        target = io.BytesIO()
        if is_parquet:
            frame.write_parquet(target, compression="zstd", compression_level=1, statistics=False)
        else:
            frame.write_ipc(target, compression="zstd")
        return target.getvalue()

    def read(raw: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
        names = None if columns is None else list(columns)
        if is_parquet:
            return pl.read_parquet(io.BytesIO(raw), columns=names)
        return pl.read_ipc(io.BytesIO(raw), columns=names)

    def newest(raw: bytes) -> Sequence[Event]:
        frame = read(raw).tail(RESULT_COUNT).reverse()
        ids = map(EventId._make, frame.select(IDS).iter_rows())
        stamps, sources = (map(Timestamp.from_ticks, frame[name].to_list()) for name in ("time", "source_time"))
        names = map(types.__getitem__, frame["type_id"].to_list())
        payloads = map(JsonPayload, payload_values(frame, by_fields))
        return list(map(Event, ids, names, stamps, sources, payloads))

    def field(raw: bytes) -> pl.Series:
        if by_fields:
            return read(raw, [f"payload.{FIELD}"]).to_series()
        values = [msgpack.unpackb(one)[FIELD] for one in read(raw, ["payload"]).to_series().to_list()]
        return pl.Series(FIELD, values, dtype=pl.Float64)

    return Codec(
        lambda columns: write(frame_of(columns, by_fields)),
        newest,
        lambda raw: read(raw, ["type_id"]).to_series(),
        field,
    )


def frame_of(columns: Columns, by_fields: bool) -> pl.DataFrame:
    """Return rows as a frame, payloads as bytes or field by field."""
    names = ("time", "source_time", "has_source", *IDS, "type_id", "kind")
    frame = pl.DataFrame({name: getattr(columns, name) for name in names})
    begins, ends = columns.offsets[:-1], columns.offsets[1:]
    if not by_fields:
        spans = zip(begins.tolist(), ends.tolist(), strict=True)
        return frame.with_columns(pl.Series("payload", [columns.data[begin:end] for begin, end in spans]))
    buffer = Buffer.of(columns.data)
    keys = keys_of(columns.data[: int(ends[0])])
    assert keys is not None
    added = []
    for one in parse_rows(buffer, begins, ends, keys)[1]:
        name = f"payload.{msgpack.unpackb(one.key)}"
        tag = int(one.tags[0])
        if tag == INTEGER:
            added.append(pl.Series(name, one.integers))
        elif tag == FLOAT and one.floats is not None:
            added.append(pl.Series(name, one.floats.view(np.float64)))
        elif tag == TEXT and one.starts is not None and one.lengths is not None:
            spans = zip(one.starts.tolist(), (one.starts + one.lengths).tolist(), strict=True)
            added.append(pl.Series(name, [buffer.raw[begin:end].decode() for begin, end in spans]))
    return frame.with_columns(added)


def payload_values(frame: pl.DataFrame, by_fields: bool) -> list[Any]:
    """Return the payloads of a frame's rows."""
    if not by_fields:
        return list(map(msgpack.unpackb, frame["payload"].to_list()))
    names = [name for name in frame.columns if name.startswith("payload.")]
    return frame.select(pl.col(name).alias(name.removeprefix("payload.")) for name in names).to_dicts()


def make_blocks(count: int) -> tuple[list[tuple[str, ...]], list[Columns]]:
    """Return the types and the rows of full blocks."""
    rows = list(make_rows(count))
    types = sorted({row[2] for row in rows})
    numbers = {words: number for number, words in enumerate(types)}
    session, instance, words, stamps, sources, payloads = zip(*rows, strict=True)
    packed = [msgpack.packb(one) for one in payloads]
    type_ids = [numbers[one] for one in words]
    columns = make_columns(stamps, sources, [1] * count, session, instance, type_ids, [1] * count, packed)
    cuts = cut_rows(columns, BLOCK_ROW_COUNT, BLOCK_PAYLOAD_BYTES)
    return types, [slice_columns(columns, start, end) for start, end in cuts]


def measure(codec: Codec, blocks: Sequence[Columns]) -> dict[str, float]:
    """Return the figures of one round."""
    count = sum(map(len, blocks))

    def timed(action: Callable[[], Any]) -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    raws: list[bytes] = []
    return {
        "encode, us per event": timed(lambda: raws.extend(map(codec.encode, blocks))) / count * 1e6,
        "bytes per event": sum(map(len, raws)) / count,
        f"newest {RESULT_COUNT} events, ms": timed(lambda: codec.newest(raws[-1])) * 1e3,
        "types of all blocks, ms": timed(lambda: [codec.types(raw) for raw in raws]) * 1e3,
        "scan one field, ns per value": timed(lambda: pl.concat([codec.field(raw) for raw in raws])) / count * 1e9,
    }


def main() -> None:
    """Measure all codecs and print the figures and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="events in all (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds, of which the median counts (default: %(default)s)"
    )
    arguments = parser.parse_args()
    types, blocks = make_blocks(arguments.events)
    codecs = {"own": own_codec(types)}
    for name, is_parquet in (("Arrow IPC", False), ("Parquet", True)):
        codecs[f"{name}, bytes"] = polars_codec(types, is_parquet, False)
        codecs[f"{name}, fields"] = polars_codec(types, is_parquet, True)
    expected = codecs["own"].newest(codecs["own"].encode(blocks[-1]))
    assert all(list(codec.newest(codec.encode(blocks[-1]))) == expected for codec in codecs.values())
    # The rows that were made stay out of the collector's way while events are made.
    gc.freeze()
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in codecs}
    for _ in range(arguments.rounds):
        for name, codec in codecs.items():
            rounds[name].append(measure(codec, blocks))
    print(
        f"{arguments.events} events of {TYPE_COUNT} types in {len(blocks)} blocks, medians of {arguments.rounds} rounds"
    )
    for figure in rounds["own"][0]:
        medians = {name: statistics.median(one[figure] for one in found) for name, found in rounds.items()}
        shown = "   ".join(f"{name} {value:.4g} ({value / medians['own']:.2f}x)" for name, value in medians.items())
        print(f"{figure:28} {shown}")


if __name__ == "__main__":
    main()
