"""A sink that keeps anomalies in memory: the simplest one that keeps the promises of sinks."""

from collections.abc import Sequence

from actors.sink import SinkRecord


class MemorySink:
    """Anomalies by partition, in order of sequence."""

    def __init__(self) -> None:
        self.taken: dict[int, list[SinkRecord]] = {}

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        for record in anomalies:
            taken = self.taken.setdefault(record.partition, [])
            if not taken or record.sequence > taken[-1].sequence:
                taken.append(record)

    def close(self) -> None:
        pass
