"""Second copies on a host: partitions that are given the rows of another host's, so that they can take its place.

They are kept apart from the partitions that the host owns. Nobody asks them anything and they feed no sink; what is
wrong with one of them is no trouble of the host's own partitions: it is closed, and opened anew when it is fed again.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from actors.errors import StaleEpochError, TocsinError
from actors.partition.acceptances import Acceptance
from actors.partition.partition import Partition
from actors.shard import ShardLostError

log = logging.getLogger(__name__)


class StandbyPartitions:
    """Second copies that one host has open; `open_shard` opens that of a partition at a generation."""

    def __init__(self, open_shard: Callable[[int, int], Partition]) -> None:
        self._open_shard = open_shard
        self._partitions: dict[int, Partition] = {}

    def find(self, number: int) -> Partition | None:
        """Return the copy of a partition, if it is open."""
        return self._partitions.get(number)

    def open(
        self, epoch: int, number: int, generation: int, acceptances: Sequence[Acceptance], now_us: int
    ) -> tuple[Partition, bool]:
        """Have the copy of a partition open at a generation; return it, and whether it had no rows.

        Raises:
            ShardLostError: what is there is newer, or has rows that it was given without a value known by now; it
                takes a copy of a greater generation.
            StaleEpochError: a newer leader has been here.
        """
        copy = self._partitions.get(number)
        if copy is not None and (copy.generation != generation or copy.is_broken):
            self.close(number, epoch, now_us)
            copy = None
        if copy is None:
            copy = self._open_shard(number, generation)
        try:
            if copy.has_missed(acceptances):
                reason = f"the standby of partition {number} has rows that an accepted value came too late for"
                raise ShardLostError(reason, number, generation)
            was_empty = not any(copy.committed.values()) and not any(copy.received.values())
            copy.begin(epoch, {}, now_us)
            copy.accept(epoch, acceptances)
        except BaseException:
            self._partitions.pop(number, None)
            copy.close()
            raise
        self._partitions[number] = copy
        return copy, was_empty

    def close_others(self, kept: Collection[int], epoch: int, now_us: int) -> None:
        """Close the copies that the host shall not have any more."""
        for number in self._partitions.keys() - set(kept):
            self.close(number, epoch, now_us)

    def close(self, number: int, epoch: int, now_us: int) -> None:
        """Make durable what a copy has, if that can be, and close it."""
        copy = self._partitions.pop(number, None)
        if copy is None:
            return
        try:
            if not copy.is_broken:
                copy.flush(epoch, now_us, with_snapshot=True)
        except TocsinError as error:
            log.warning("a standby was closed unflushed", extra={"partition": number, "reason": str(error)})
        finally:
            copy.close()

    def take(self, number: int, generation: int | None) -> Partition | None:
        """Give up the copy of a partition, which the host owns from now on; `None` when there is none as it has to be.

        Of another generation, or broken, it is closed, so that the shard can be opened.
        """
        copy = self._partitions.pop(number, None)
        if copy is None:
            return None
        if copy.is_broken or copy.generation != generation:
            copy.close()
            return None
        copy.recount_outbox()
        return copy

    def accept(self, epoch: int, acceptances: Sequence[Acceptance]) -> None:
        """Let values count as known, each from its place on."""
        self._for_each(lambda copy: copy.accept(epoch, acceptances))

    def take_marks(self, marks: Mapping[int, Mapping[bytes, bytes]]) -> None:
        """Know what sinks have of partitions, by partition."""
        self._for_each(lambda copy: copy.take_marks(marks[copy.number]) if copy.number in marks else None)

    def flush(self, epoch: int, now_us: int, *, are_due: bool) -> dict[int, dict[int, int]]:
        """Make everything durable, or what has waited for the flush period; return what is durable, by partition."""
        if are_due:
            self._for_each(lambda copy: copy.flush_if_due(epoch, now_us))
        else:
            self._for_each(lambda copy: copy.flush(epoch, now_us))
        return {number: copy.committed for number, copy in self._partitions.items()}

    def _for_each(self, act: Callable[[Partition], None]) -> None:
        for number, copy in list(self._partitions.items()):
            try:
                act(copy)
            except StaleEpochError:
                raise
            except TocsinError as error:
                # Whoever feeds it learns that it is not open, and opens it anew.
                log.warning("a standby is closed", extra={"partition": number, "reason": str(error)})
                del self._partitions[number]
                copy.close()

    def validate(self, epoch: int) -> None:
        """Assert every invariant; the host follows this epoch."""
        for number, copy in self._partitions.items():
            assert copy.number == number, f"partition {copy.number} stands by as {number}"
            assert copy.epoch <= epoch, f"the standby of partition {number} is ahead of its host"
            copy.validate()

    def close_all(self) -> None:
        """Close every copy; what is not flushed is not kept."""
        for copy in self._partitions.values():
            copy.close()
        self._partitions.clear()
