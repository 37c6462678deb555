"""Times of every temporal type are microseconds since the epoch, or since midnight, rounded down."""

import numpy as np
import pytest

from actors.model import ColumnType
from actors.partition.event_mapping import ticks_to_us


@pytest.mark.parametrize(
    ("kind", "ticks", "us"),
    [
        (ColumnType.NANOTIMESTAMP, [1_999, 1_000, 999, 0, -1, -1_000, -1_001], [1, 1, 0, 0, -1, -1, -2]),
        (ColumnType.NANOTIME, [86_399_999_999_999], [86_399_999_999]),
        (ColumnType.MICROTIMESTAMP, [7, -7], [7, -7]),
        (ColumnType.TIMESTAMP, [7, -7], [7_000, -7_000]),
        (ColumnType.TIME, [7], [7_000]),
        (ColumnType.DATETIME, [7, -7], [7_000_000, -7_000_000]),
        (ColumnType.SECOND, [7], [7_000_000]),
        (ColumnType.MINUTE, [7], [420_000_000]),
        (ColumnType.DATE, [1, -1], [86_400_000_000, -86_400_000_000]),
        (ColumnType.MONTH, [1970 * 12, 1970 * 12 + 1, 1969 * 12 + 11], [0, 2_678_400_000_000, -2_678_400_000_000]),
        (ColumnType.MONTH, [2024 * 12 + 2], [1_709_251_200_000_000]),
    ],
)
def test_ticks_become_microseconds(kind: ColumnType, ticks: list[int], us: list[int]) -> None:
    found = ticks_to_us(kind, np.array(ticks, np.int64))
    assert found.tolist() == us
    assert found.dtype == np.int64


@pytest.mark.parametrize("kind", [kind for kind in ColumnType if kind.is_temporal])
def test_every_temporal_type_can_be_converted_also_when_there_is_nothing(kind: ColumnType) -> None:
    assert ticks_to_us(kind, np.empty(0, np.int64)).tolist() == []
