"""What keeps arrivals: one thread that writes the journal, and says of each arrival what became of it.

Whatever has come while it wrote is kept in the next transaction, so that many senders share the cost of one.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from actors.errors import TocsinError
from actors.source.push.journal import Arrival, Mark, PushJournal

log = logging.getLogger(__name__)

WAITING_SIZE_BYTES_MAX = 64 << 20
"""Bytes of arrivals that may wait to be written; who waits for room waits while there are more."""

BATCH_SIZE_BYTES_MAX = 16 << 20
"""Bytes of arrivals that are written in one transaction, about."""

ARRIVAL_SIZE_BYTES = 256
"""What an arrival counts besides its records."""

LOOK_S = 0.05
"""Seconds between two looks at whether there is room."""


class Outcome(Enum):
    """What became of an arrival."""

    KEPT = "kept"
    KNOWN = "known"
    """It was kept before."""

    CLASH = "clash"
    """Something else was kept under its mark."""

    FAILED = "failed"
    """It could not be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    arrival: Arrival
    may_be_known: bool
    done: Callable[[Outcome], None] | None


class Keeper:
    """Writes a journal; `must_keep` says that what arrives waits for room, and for a disk that can be written."""

    def __init__(self, journal: PushJournal, *, must_keep: bool) -> None:
        self._journal = journal
        self._must_keep = must_keep
        self._waiting: deque[_Waiting] = deque()
        self._size_bytes = 0
        self._is_failing = False
        self._changed = threading.Condition()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def submit(
        self, arrival: Arrival, done: Callable[[Outcome], None] | None = None, *, may_be_known: bool = False
    ) -> None:
        """Have an arrival kept; `done` is called in the keeper's thread, in the order in which arrivals came.

        One that `may_be_known` is kept unless its mark is known.
        """
        with self._changed:
            self._waiting.append(_Waiting(arrival=arrival, may_be_known=may_be_known, done=done))
            self._size_bytes += arrival.size_bytes + ARRIVAL_SIZE_BYTES
            self._changed.notify_all()

    def has_room(self) -> bool:
        """Return whether more may come: the job keeps up, and the disk too."""
        return self._size_bytes < WAITING_SIZE_BYTES_MAX and self._journal.has_room()

    def wait_for_room(self) -> None:
        """Return when not too much waits to be written, or when this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._size_bytes < WAITING_SIZE_BYTES_MAX or self._is_closed.is_set())

    def say(self, trouble: str | None) -> None:
        """Tell who reads the job's rows why nothing arrives, or that all is well."""
        try:
            self._journal.say(trouble)
        except OSError:
            log.warning("why nothing arrives could not be noted", exc_info=True)

    def close(self) -> None:
        """End the thread; what was not written is not kept, and its senders are told nothing."""
        self._is_closed.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_closed.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._is_closed.is_set())
                batch = self._next_batch()
            while self._must_keep and not self._is_closed.is_set() and not self._journal.has_room():
                self._is_closed.wait(LOOK_S)
            while batch and not self._is_closed.is_set() and not self._write(batch):
                self._is_closed.wait(1.0)
            with self._changed:
                self._size_bytes -= sum(one.arrival.size_bytes + ARRIVAL_SIZE_BYTES for one in batch)
                self._changed.notify_all()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and size < BATCH_SIZE_BYTES_MAX:
            batch.append(self._waiting.popleft())
            size += batch[-1].arrival.size_bytes + ARRIVAL_SIZE_BYTES
        return batch

    def _write(self, batch: list[_Waiting]) -> bool:
        """Write arrivals and tell their senders; return whether that is settled, or must be tried again."""
        new: dict[str, str] = {}
        outcomes = [self._judge(one, new) for one in batch]
        kept = [one.arrival for one, outcome in zip(batch, outcomes, strict=True) if outcome is Outcome.KEPT]
        try:
            self._journal.append(kept)
        except Exception as error:  # whatever it is, nobody may be told that it is kept
            if not isinstance(error, TocsinError | OSError):
                log.exception("what arrived could not be written")
            self.say(f"what arrives cannot be written: {error}")
            self._is_failing = True
            if self._must_keep:
                return False
            outcomes = [Outcome.FAILED] * len(batch)
        else:
            if self._is_failing:
                self._is_failing = False
                self.say(None)
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.done is not None:
                one.done(outcome)
        return True

    def _judge(self, one: _Waiting, new: dict[str, str]) -> Outcome:
        """Return what is to become of an arrival; `new` are marks of arrivals before it, which gets its own."""
        mark: Mark | None = one.arrival.mark
        if mark is None:
            return Outcome.KEPT
        known = new.get(mark.key, self._journal.digest_of(mark.key))
        if one.may_be_known and known is not None:
            if known == mark.digest:
                return Outcome.KNOWN
            if not self._must_keep:
                return Outcome.CLASH
        new[mark.key] = mark.digest
        return Outcome.KEPT
