"""A sink that keeps anomalies in memory: the simplest one that keeps the promises of sinks."""

from collections.abc import Sequence

from actors.model import AnomalyId
from actors.sink.protocol import SinkRecord


class MemorySink:
    """Anomalies by partition; each split's in order of ids."""

    def __init__(self) -> None:
        self.taken: dict[int, list[SinkRecord]] = {}
        self._last: dict[tuple[int, int], AnomalyId] = {}

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        for record in anomalies:
            place = (record.partition, record.id.split)
            if place not in self._last or record.id > self._last[place]:
                self._last[place] = record.id
                self.taken.setdefault(record.partition, []).append(record)

    def close(self) -> None:
        pass
