"""Host batches on their way: rows are buffers beside the pickled rest, and what arrives is what was sent."""

import pickle

import numpy as np
import polars as pl
import pytest

from actors.host_batch import HostBatch
from actors.source.protocol import DeadLetter

FRAME = pl.DataFrame(
    {
        "time": [1, 2, 3, None, 5],
        "sym": ["A", None, "a text that is longer than a view", "", "ü"],
        "price": [0.5, float("nan"), None, -0.0, float("inf")],
        "ok": [True, None, False, True, True],
    }
)
LETTERS = (DeadLetter(split=0, offset=12, reason="no row", raw=b"{"),)


def batch(cut: int) -> HostBatch:
    """Return a batch whose first rows are partition 3's, the others partition 1's."""
    offsets = np.array([10, 13, 11, 14, 15])
    parts = {3: (FRAME[:cut], offsets[:cut]), 1: (FRAME[cut:], offsets[cut:])}
    rows = {number: part for number, part in parts.items() if part[0].height}
    return HostBatch(split=2, start=10, end=16, partitions=(1, 3, 5), rows=rows, dead_letters={5: LETTERS})


@pytest.mark.parametrize("cut", [2, 5])
@pytest.mark.parametrize("has_buffers", [True, False])
def test_a_batch_arrives_as_it_was_sent(cut: int, has_buffers: bool) -> None:
    sent, buffers = batch(cut), []
    data = pickle.dumps(sent, protocol=5, buffer_callback=buffers.append) if has_buffers else pickle.dumps(sent, 4)
    found = pickle.loads(data, buffers=[memoryview(buffer.raw()).toreadonly() for buffer in buffers])

    assert list(found.rows) == list(sent.rows)
    for number, (frame, offsets) in sent.rows.items():
        assert found.rows[number][0].equals(frame)
        assert found.rows[number][0].schema == frame.schema
        assert found.rows[number][1].tolist() == offsets.tolist()
    assert (found.split, found.start, found.end, found.partitions) == (2, 10, 16, (1, 3, 5))
    assert found.dead_letters == {5: LETTERS}


def test_rows_are_buffers_and_not_a_part_of_the_pickled_rest() -> None:
    frame = pl.concat([FRAME] * 1000)
    sent = HostBatch(split=0, start=0, end=5000, partitions=(0,), rows={0: (frame, np.arange(5000))}, dead_letters={})
    buffers: list[pickle.PickleBuffer] = []
    assert len(pickle.dumps(sent, protocol=5, buffer_callback=buffers.append)) < 1000
    assert len(buffers) == 2


def test_a_batch_without_rows_arrives() -> None:
    sent = HostBatch(split=0, start=3, end=4, partitions=(0,), rows={}, dead_letters={})
    assert pickle.loads(pickle.dumps(sent)).end == 4
