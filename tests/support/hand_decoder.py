"""A decoder of stored blocks written after docs/formats.md alone, with nothing of the application and without arrays.

It decodes one block value of the tables `event_log` or `event_source`, of format 1 or 2, into plain rows, unseals
values of the other tables, and tests every checksum on the way. Slow and simple: it shows that the page says enough.
"""

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import msgpack

HEADER = struct.Struct("<BBBBIII qI qI qI qI QQQ QQQ III III")
RAW, DEFLATED, TRANSPOSED, BY_FIELD = 0, 1, 2, 3
WRAP = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One event as a block tells it."""

    id: tuple[int, int, int]
    """Server, session and instance."""

    type_id: int
    """Number of the type."""

    time: int
    """Microseconds since the epoch."""

    source_time: int | None
    """The source's, `None` without one."""

    payload: tuple[str, Any]
    """Kind and content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A block."""

    format: int
    codec: int
    type_ids: list[int]
    distances: list[int]
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Section:
    """A head and the bytes that its forms point to."""

    head: Any
    data: bytes

    def part(self, place: int, length: int, checksum: int) -> bytes:
        part = self.data[place : place + length]
        assert zlib.crc32(part) == checksum
        return part


def unseal_by_hand(key: bytes, value: bytes) -> bytes:
    """Return a sealed value without its seal."""
    assert value[-5] == 0xCE
    assert struct.unpack("<I", value[-4:])[0] == zlib.crc32(key + value[:-4])
    return value[:-5]


def decode_by_hand(raw: bytes) -> Decoded:
    """Return what is in a block."""
    fields = HEADER.unpack_from(raw)
    version, codec, type_width, chain_width, count, type_count, _ = fields[:7]
    body_length, payload_length, payload_size, *checksums = fields[21:27]
    at = HEADER.size
    type_ids = _little(raw[at : (at := at + type_width * type_count)], type_width)
    distances = _little(raw[at : (at := at + chain_width * type_count)], chain_width)
    index = [0] * count
    if type_count > 1:
        width = 1 if type_count <= 256 else 2
        index = _little(raw[at : (at := at + width * count)], width)
    assert zlib.crc32(raw[: HEADER.size - 4] + bytes(4) + raw[HEADER.size : at]) == checksums[2]
    body, payloads = raw[at : at + body_length], raw[at + body_length : at + body_length + payload_length]
    assert at + body_length + payload_length == len(raw)
    columns = _columns_1(body, codec, checksums[0], count) if version == 1 else _columns_2(body, checksums[0], count)
    pieces = _pieces(payloads, codec, checksums[1], columns, count)
    assert sum(map(len, pieces)) == payload_size
    rows = [
        Row(
            id=(columns["server"][n], columns["session"][n], columns["instance"][n]),
            type_id=type_ids[index[n]],
            time=columns["time"][n],
            source_time=columns["source"][n],
            payload=_payload(columns["kind"][n], pieces[n]),
        )
        for n in range(count)
    ]
    return Decoded(format=version, codec=codec, type_ids=type_ids, distances=distances, rows=rows)


def _pieces(payloads: bytes, codec: int, checksum: int, columns: dict[str, list[Any]], count: int) -> list[bytes]:
    """Return the bytes of each row's payload."""
    if codec == BY_FIELD:
        return _by_field(_section(payloads, checksum))
    assert zlib.crc32(payloads) == checksum
    data = payloads if codec == RAW else zlib.decompress(payloads)
    if codec == TRANSPOSED:
        length = len(data) // count
        data = bytes(data[place * count + row] for row in range(count) for place in range(length))
    pieces, at = [], 0
    for length in columns["length"]:
        pieces.append(data[at : at + length])
        at += length
    return pieces


def _payload(kind: int, data: bytes) -> tuple[str, Any]:
    if kind == 1:
        return "json", msgpack.unpackb(data, unicode_errors="surrogatepass")
    if kind == 2:
        return "json", json.loads(data)
    if kind == 3:
        return "binary", msgpack.unpackb(data, unicode_errors="surrogatepass")
    assert kind == 0
    assert data == b""
    return "none", None


def _columns_1(body: bytes, codec: int, checksum: int, count: int) -> dict[str, list[Any]]:
    assert zlib.crc32(body) == checksum
    time, lag, has_source, server, session, instance, kind, length = msgpack.unpackb(
        body if codec == RAW else zlib.decompress(body)
    )
    present = [bool(has_source[n // 8] >> (7 - n % 8) & 1) for n in range(count)]
    if isinstance(time, dict):
        times, sources = _wide(time), _wide(lag)
    else:
        times = [_signed(value) for value in _steps_1(time, count)]
        sources = [_signed(value + one) for value, one in zip(times, _numbers_1(lag, count), strict=True)]
    return {
        "time": times,
        "source": [value if has else None for value, has in zip(sources, present, strict=True)],
        "server": _steps_1(server, count),
        "session": _steps_1(session, count),
        "instance": _steps_1(instance, count),
        "kind": _numbers_1(kind, count),
        "length": _numbers_1(length, count),
    }


def _numbers_1(packed: list[Any], count: int) -> list[int]:
    least, width, data = packed
    distances = _little(data, width) if width else [0] * count
    return [(least + one) % WRAP for one in distances]


def _steps_1(packed: list[Any], count: int) -> list[int]:
    first, steps = packed
    return _summed(first, _numbers_1(steps, count - 1) if count > 1 else [])


def _columns_2(body: bytes, checksum: int, count: int) -> dict[str, list[Any]]:
    section = _section(body, checksum)
    time, lag, has_source, server, session, instance, kind, length = section.head
    if isinstance(time, dict):
        times, sources = _wide(time), _wide(lag)
    else:
        times = [_signed(value) for value in _integers(time, count, section)]
        sources = [_signed(value + one) for value, one in zip(times, _integers(lag, count, section), strict=True)]
    present = _integers(has_source, count, section)
    return {
        "time": times,
        "source": [value if has else None for value, has in zip(sources, present, strict=True)],
        "server": _integers(server, count, section),
        "session": _integers(session, count, section),
        "instance": _integers(instance, count, section),
        "kind": _integers(kind, count, section),
        "length": [] if length is None else _integers(length, count, section),
    }


def _section(part: bytes, checksum: int) -> Section:
    (length,) = struct.unpack_from("<I", part)
    head = part[: 4 + length]
    assert zlib.crc32(head) == checksum
    return Section(msgpack.unpackb(head[4:], strict_map_key=False), part[4 + length :])


def _integers(form: list[Any], count: int, section: Section) -> list[int]:
    """Return integers modulo 2^64."""
    if form[0] == 0:
        return [form[1] % WRAP] * count
    if form[0] == 1:
        _, least, width, *place = form
        return [(least + one) % WRAP for one in _words(place, width, count, section)]
    _, first, least, width, *place = form
    steps = _words(place, width, count - 1, section) if width else [0] * (count - 1)
    return _summed(first, [least + one for one in steps])


def _floats(form: list[Any], count: int, section: Section) -> list[float]:
    if form[0] == 0:
        return [_float(form[1] % WRAP)] * count
    if form[0] == 3:
        return [_signed(one) / 10.0 ** form[1] for one in _integers(form[2:], count, section)]
    assert form[0] == 4
    return [_float(one) for one in _words(form[1:], 8, count, section)]


def _words(place: list[Any], width: int, count: int, section: Section) -> list[int]:
    start, length, checksum, planes = place
    data = section.part(start, length, checksum)
    if planes == -1:
        return _little(data, width)
    inflater = zlib.decompressobj()
    deflated = inflater.decompress(data)
    kept = inflater.unused_data
    words = [0] * count
    for plane in range(width):
        if planes >> plane & 1:
            source, deflated = deflated[:count], deflated[count:]
        else:
            source, kept = kept[:count], kept[count:]
        words = [word | byte << 8 * plane for word, byte in zip(words, source, strict=True)]
    return words


def _bytes(form: list[Any], section: Section) -> bytes:
    start, length, checksum, is_deflated = form
    data = section.part(start, length, checksum)
    return zlib.decompress(data) if is_deflated else data


def _by_field(section: Section) -> list[bytes]:
    count, which, lengths, others, layouts = section.head
    layout_of = _integers(which, count, section)
    pieces = [b""] * count
    for number, fields in enumerate(layouts):
        own = [row for row in range(count) if layout_of[row] == number]
        columns = [(field[0], _field_values(field, len(own), section)) for field in fields]
        for place, row in enumerate(own):
            packed = b"".join(key + values[place] for key, values in columns)
            pieces[row] = _map_head(len(fields)) + packed
    rest = [row for row in range(count) if layout_of[row] == len(layouts)]
    if rest:
        data, at = _bytes(others, section), 0
        for row, length in zip(rest, _integers(lengths, len(rest), section), strict=True):
            pieces[row] = data[at : at + length]
            at += length
    return pieces


def _map_head(count: int) -> bytes:
    return bytes([0x80 | count]) if count < 16 else b"\xde" + count.to_bytes(2, "big")


def _field_values(field: list[Any], count: int, section: Section) -> list[bytes]:
    _, tags, integers, floats, texts = field
    kinds = _integers(tags, count, section)
    ints = iter([] if integers is None else _integers(integers, kinds.count(4), section))
    reals = iter([] if floats is None else _floats(floats, kinds.count(5), section))
    words = iter([] if texts is None else _texts(texts, kinds.count(6), section))
    made = []
    for kind in kinds:
        value: Any = {1: None, 2: False, 3: True}.get(kind)
        if kind == 4:
            value = _signed(next(ints))
        elif kind == 5:
            value = next(reals)
        elif kind == 6:
            value = next(words)
        made.append(msgpack.packb(value, unicode_errors="surrogatepass"))
    return made


def _texts(form: list[Any], count: int, section: Section) -> list[str]:
    number, index, lengths, data = form
    joined, at, distinct = _bytes(data, section), 0, []
    for length in _integers(lengths, number, section):
        distinct.append(joined[at : at + length].decode("utf-8", "surrogatepass"))
        at += length
    return distinct if index is None else [distinct[one] for one in _integers(index, count, section)]


def _little(data: bytes, width: int) -> list[int]:
    return [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width)]


def _summed(first: int, steps: list[int]) -> list[int]:
    values = [first % WRAP]
    for step in steps:
        values.append((values[-1] + step) % WRAP)
    return values


def _signed(value: int) -> int:
    value %= WRAP
    return value - WRAP if value >= WRAP >> 1 else value


def _float(bits: int) -> float:
    (value,) = struct.unpack("<d", bits.to_bytes(8, "little"))
    return float(value)


def _wide(packed: dict[str, Any]) -> list[int]:
    return [seconds * 1_000_000 + microseconds for seconds, microseconds in packed["wide"]]
