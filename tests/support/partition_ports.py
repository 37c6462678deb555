"""Hosts that keep what a pump sends and answer when they are told to."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from actors.host import HostBatch


@dataclass
class HeldReply:
    """An answer that is given by hand; waiting for one that has not been given lets the host answer its oldest."""

    port: "HeldPort"
    answer: Any = None
    error: Exception | None = None
    is_given: bool = False

    def is_ready(self) -> bool:
        return self.is_given

    def wait(self) -> Any:
        while not self.is_given:
            self.port.waits += 1
            self.port.release()
        if self.error is not None:
            raise self.error
        return self.answer


@dataclass
class HeldPort:
    """A host whose answers are released by hand, oldest first; `calls` is everything it was told."""

    name: str
    calls: list[tuple[str, Any]] = field(default_factory=list)
    held: deque[HeldReply] = field(default_factory=deque)
    waits: int = 0
    """How often somebody had to wait for it."""

    in_flight_max: int = 0
    committed: dict[int, dict[int, int]] | None = None
    """Answer to a flush; `None` means that everything is there."""

    deliveries: list[int] = field(default_factory=list)
    """Answers to the next deliveries; 0 when there are no more."""

    def apply(self, epoch: int, batch: HostBatch, now_us: int) -> HeldReply:
        return self._hold("apply", batch)

    def tick(self, epoch: int, now_us: int) -> HeldReply:
        return self._hold("tick", now_us)

    def flush(self, epoch: int, now_us: int) -> HeldReply:
        return self._hold("flush", epoch)

    def deliver(self) -> HeldReply:
        return self._hold("deliver", None)

    def release(self, answer: Any = None, error: Exception | None = None) -> None:
        """Answer the oldest call that waits: with what is given, or with what it would be."""
        reply, kind = self.held.popleft(), self.calls[len(self.calls) - len(self.held) - 1][0]
        if kind == "flush":
            answer = self._everything() if self.committed is None else self.committed
        usual = {"apply": 1, "deliver": self.deliveries.pop(0) if kind == "deliver" and self.deliveries else 0}
        reply.answer = usual.get(kind) if answer is None else answer
        reply.error, reply.is_given = error, True

    def _everything(self) -> dict[int, dict[int, int]]:
        found: dict[int, dict[int, int]] = {}
        for batch in self.batches:
            for partition in batch.partitions:
                found.setdefault(partition, {})[batch.split] = batch.end
        return found

    @property
    def batches(self) -> list[HostBatch]:
        return [given for kind, given in self.calls if kind == "apply"]

    def _hold(self, kind: str, given: Any) -> HeldReply:
        reply = HeldReply(self)
        self.calls.append((kind, given))
        self.held.append(reply)
        self.in_flight_max = max(self.in_flight_max, len(self.held))
        return reply
