"""Blocks give back what was put in, and notice damage."""

import base64
import random

import msgpack
import numpy as np
import pytest

from actors.store.disk.blocks import DEFLATED, RAW, TRANSPOSED, Block, encode_block
from actors.store.errors import BlockDamagedError
from actors.store.events.columns import (
    Columns,
    cut_rows,
    join_columns,
    last_rows,
    make_columns,
    slice_columns,
    sort_rows,
    take_columns,
)

COLUMNS = make_columns(
    [-5, 0, 7, 7],
    [None, 3, -(1 << 62), 1 << 62],
    [9, 9, 9, (1 << 64) - 1],
    [1, 1, (1 << 64) - 1, (1 << 64) - 1],
    [1, (1 << 64) - 1, 1, 2],
    [70_000, 3, 3, 4],
    [0, 1, 1, 3],
    [b"", b"\xc0", b"\x01", b"long" * 100],
)
FAR = 1 << 70
OLD_BLOCKS = {
    RAW: (
        b"0RRF41^@s60ssI21poj500000000003IG5A0000000000DF6Tf00000000002><{90000000000EdT%j2LJ#7000000RR9100000"
        b"0RR91000002LJ#7000000{{R3000000ssI200000L;wH)NB{r;NB{r;g(8#K>J-EWCfveA000930000100992n34*U00G1W3IGoU"
        b"0h9Xy#0CTf1^@#I!~wjL2a^B*!~l{3lK=t41pom60RWN#lm7w41p)v900NT%0K@>33;@IcfuVNG0000000000fuVNGKllIu00000"
        b"fuVNGKnMT;00000fuVNGKoS4|00000fuVNGKo|f300000fuVNGKpp@900000"
    ),
    TRANSPOSED: (
        b"0RjR61^@s60ssI21poj500000000003IG5A0000000000DF6Tf00000000002><{90000000000EdT%j2LJ#7000000RR9100000"
        b"0RR91000002LJ#7000000{{R3000000ssI200000KmY&$AOHXWNB{r;YzZ_d!$H^7Gck2e000930000100992cmW-XK?;B{5Cao+"
        b"D=mV5-&}l5kNYbRHON2+%se>+Rt(%hy{vXb!`_QCPXUGGAArVxIo@DIOI@B1LL(43cmZo{1c8NMPzDC4!GOWu0SFj=a0p4rF%SU&"
        b"!R-**"
    ),
    DEFLATED: (
        b"0RaL51^@s60ssI21poj500000000003IG5A0000000000DF6Tf00000000002><{90000000000EdT%j2LJ#7000000RR9100000"
        b"0RR91000002LJ#7000000{{R3000000ssI200000LI3~&C;$KeLI3~&VjvhYP3clG^Cy~G000930000100992cmW-YK?;CC3<DF_"
        b"R@{q!Z!SK@V}IpA!!iT{ncOu6c1&DBz3kj0G0x^whk!<L37~QREN?KPN2MQ`aDJoE5Lb8sYg|}%ngI$Lfo%I95YE#4l8n?Mkcfj2"
        b"L<G#1Kw`^5*Z_3V5cU"
    ),
}


def same(left: Columns, right: Columns) -> bool:
    names = ("time", "source_time", "has_source", "server", "session", "instance", "type_id", "kind", "offsets")
    alike = all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)
    return alike and left.data == right.data


@pytest.mark.parametrize("codec", [RAW, DEFLATED])
def test_a_block_gives_its_columns_back(codec: int) -> None:
    assert same(Block(encode_block(COLUMNS, codec), "it").to_columns(), COLUMNS)


def test_payloads_of_one_length_are_kept_and_take_less_space() -> None:
    numbers = list(range(1, 501))
    random_part = [random.Random(n).randbytes(8) for n in numbers]
    ones = [1] * len(numbers)
    alike = [b"name" + one + b"kind" for one in random_part]
    unlike = [b"name" + one + b"kind"[: 3 + one[0] % 2] for one in random_part]
    even, uneven = (make_columns(ones, ones, ones, ones, numbers, ones, ones, one) for one in (alike, unlike))
    block = Block(encode_block(even, DEFLATED), "it")
    assert (block.codec, Block(encode_block(uneven, DEFLATED), "it").codec) == (TRANSPOSED, DEFLATED)
    assert same(block.to_columns(), even)
    assert same(Block(encode_block(uneven, DEFLATED), "it").to_columns(), uneven)
    assert block.size_bytes < len(encode_block(uneven, DEFLATED)) - 500


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_blocks_of_few_rows_work(rows: int) -> None:
    part = slice_columns(COLUMNS, 0, rows)
    assert same(Block(encode_block(part, DEFLATED), "it").to_columns(), part)


def test_times_beyond_64_bits_of_microseconds_are_kept() -> None:
    columns = make_columns([-FAR, 0, FAR], [None, FAR, 1], [1] * 3, [1] * 3, [1, 2, 3], [0] * 3, [0] * 3, [b""] * 3)
    block = Block(encode_block(columns, DEFLATED), "it")
    assert block.time.tolist() == [-FAR, 0, FAR]
    assert block.source_time.tolist() == [0, FAR, 1]
    assert (block.time_min, block.time_max, block.source_min, block.source_max) == (-FAR, FAR, 1, FAR)


def test_the_header_tells_ranges_types_and_ids() -> None:
    heads = np.full(70_001, -1)
    heads[3] = 2
    block = Block(encode_block(COLUMNS, DEFLATED, heads, 5), "it")
    assert (block.time_min, block.time_max) == (-5, 7)
    assert (block.source_min, block.source_max, block.source_count) == (-(1 << 62), 1 << 62, 3)
    assert block.types.tolist() == [3, 4, 70_000]
    assert block.distances.tolist() == [3, 0, 0]
    assert block.first_id == (9, 1, 1)
    assert block.last_id == ((1 << 64) - 1, (1 << 64) - 1, 2)


def test_every_flipped_byte_is_noticed() -> None:
    raw = encode_block(COLUMNS, DEFLATED)
    for position in range(len(raw)):
        damaged = bytearray(raw)
        damaged[position] ^= 0x10
        with pytest.raises(BlockDamagedError):
            Block(bytes(damaged), "the block").to_columns()


def test_damage_is_reported_with_the_range_of_ids() -> None:
    raw = bytearray(encode_block(COLUMNS, DEFLATED))
    raw[-1] ^= 1
    block = Block(bytes(raw), "block 3 of server 9's log")
    assert block.time.tolist() == [-5, 0, 7, 7]
    with pytest.raises(BlockDamagedError, match=r"payloads of block 3 of server 9's log \(ids \(9, 1, 1\) to"):
        block.to_columns()


def test_a_block_cut_short_is_noticed() -> None:
    with pytest.raises(BlockDamagedError, match="cut short to 10 bytes"):
        Block(encode_block(COLUMNS, RAW)[:10], "it")


@pytest.mark.parametrize("codec", [RAW, DEFLATED, TRANSPOSED])
def test_blocks_of_the_first_format_are_read(codec: int) -> None:
    values = [msgpack.packb({"v": n * 1.5}) for n in range(6)]
    if codec == DEFLATED:
        values[2] = b"\xa5other"
    expected = make_columns(
        [10, 20, 20, 35, 40, 41],
        [9, None, 21, 30, 38, 45],
        [7] * 6,
        [1, 1, 2, 2, 3, 3],
        [1, 2, 1, 2, 1, 2],
        [0, 3, 0, 3, 3, 0],
        [1] * 6,
        values,
    )
    block = Block(base64.b85decode(OLD_BLOCKS[codec]), "it")
    assert block.codec == codec
    assert same(block.to_columns(), expected)


def test_rows_are_cut_by_number_and_by_size() -> None:
    assert list(cut_rows(COLUMNS, 3, 1 << 20)) == [(0, 3), (3, 4)]
    assert list(cut_rows(COLUMNS, 100, 2)) == [(0, 3), (3, 4)]
    assert list(cut_rows(COLUMNS, 100, 1)) == [(0, 2), (2, 3), (3, 4)]


def test_columns_join_slice_and_take() -> None:
    halves = [slice_columns(COLUMNS, 0, 2), slice_columns(COLUMNS, 2, 4)]
    assert same(join_columns(halves), COLUMNS)
    taken = take_columns(COLUMNS, np.array([3, 1]))
    assert taken.data == b"long" * 100 + b"\xc0"
    assert taken.session.tolist() == [(1 << 64) - 1, 1]


@pytest.mark.parametrize("lengths", [(7, 7), (0, 9), (0, 0), (1, 2_000)], ids=["alike", "various", "none", "one long"])
def test_many_rows_are_taken_as_few_are(lengths: tuple[int, int]) -> None:
    numbers = np.random.default_rng(3)
    sizes = numbers.integers(lengths[0], lengths[1] + 1, 1_000) if lengths[1] < 100 else [1] * 999 + [2_000]
    payloads = [numbers.bytes(int(size)) for size in sizes]
    ones = [1] * len(payloads)
    columns = make_columns(range(len(payloads)), ones, ones, ones, ones, ones, ones, payloads)
    order = numbers.permutation(len(payloads))
    taken = take_columns(columns, order)
    taken.validate()
    assert taken.data == b"".join(payloads[row] for row in order.tolist())
    assert taken.offsets.tolist() == np.cumsum([0, *(len(payloads[row]) for row in order.tolist())]).tolist()


@pytest.mark.parametrize(("count", "greatest"), [(5, 3), (2_000, 90), (2_000, 4_000_000)])
def test_the_last_row_of_each_type_is_found(count: int, greatest: int) -> None:
    type_ids = np.random.default_rng(5).integers(0, greatest, count).astype(np.uint32)
    assert last_rows(type_ids) == {type_id: row for row, type_id in enumerate(type_ids.tolist())}


def test_sorting_takes_times_of_any_size() -> None:
    assert sort_rows([np.array([3, 1 << 70, 2], dtype=object), np.arange(3)]).tolist() == [2, 0, 1]  # type: ignore[union-attr]
    assert sort_rows([np.array([1, 2, 3])]) is None
