"""Records of one key, as sinks are given them, and writing them where that may fail."""

from collections.abc import Sequence

from actors.errors import SinkError
from actors.model import AnomalyId
from actors.sink.protocol import Sink, SinkRecord


def sink_records(count: int, partition: int = 0) -> list[SinkRecord]:
    """Return anomalies at the offsets from 0 on."""
    return [
        SinkRecord(
            partition=partition,
            id=AnomalyId(split=0, offset=offset, ordinal=0),
            time=1538960461003,
            key=("A",),
            type=0,
            metric="qty > 8",
            detail='{"values": {"qty": 9}}',
        )
        for offset in range(count)
    ]


def written(sink: Sink, records: Sequence[SinkRecord]) -> bool:
    """Write records, and return whether that was possible."""
    try:
        sink.write(records)
    except SinkError:
        return False
    return True
