"""Saving: once by `save`, again and again by `PersistencySaver`.

A save takes the state under the ingest lock and writes it without. It is all or nothing: whatever happens, the storage
holds the previous or the new state. A failed `save` raises and the events stay counted as unsaved; a save that time or
the number of events caused logs a warning instead, and is tried again. Only ids that have changed since the saver's
last save are written. The saver is the one part of this package that looks at the clock and runs a thread; in the
cluster, state is committed with the rows it stands for and no saver runs.
"""

import atexit
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from actors.persistency.arguments import named, number, whole
from actors.persistency.errors import (
    PersistencyError,
    PersistencyLoadError,
    PersistencySaveError,
    PersistencyTypeError,
    PersistencyValueError,
)
from actors.persistency.event_data_structure import EventDataStructure
from actors.persistency.event_persistency import EventPersistency
from actors.persistency.saved_state import Generation, read_generation, read_state, take_draft, write_draft
from actors.persistency.storage import ArchiveStorage, Storage, open_storage

__all__ = [
    "PersistencyLoadError",
    "PersistencySaveError",
    "PersistencySaver",
    "PersistencySaverConfig",
    "load",
    "save",
]

log = logging.getLogger(__name__)

Classes = Iterable[type[EventDataStructure]]
_JOIN_SECONDS_MAX = 5.0


@dataclass
class PersistencySaverConfig:
    """Where and when a saver saves.

    Raises:
        PersistencyValueError: a setting that cannot be used.
    """

    path: str
    """Plain path or fsspec URI of a directory."""

    save_interval_seconds: float = 300
    """Time between two saves of a started saver."""

    events_until_save: int | None = None
    """Number of unsaved events that causes a save at once; `None` for no such rule."""

    auto_load: bool = False
    """Whether saved state, where there is some, is loaded when the saver is made."""

    storage_options: dict[str, Any] = field(default_factory=dict)
    """Options of the fsspec file system."""

    def __post_init__(self) -> None:
        self.path = _path_text(self.path)
        if not 0 < number("save_interval_seconds", self.save_interval_seconds) <= threading.TIMEOUT_MAX:
            limits = f"above 0 and at most {threading.TIMEOUT_MAX}"
            raise PersistencyValueError(f"save_interval_seconds {self.save_interval_seconds} must be {limits}")
        if self.events_until_save is not None:
            whole("events_until_save", self.events_until_save, 1)
        if not isinstance(self.auto_load, bool):
            raise PersistencyValueError(f"auto_load {self.auto_load!r} must be True or False")
        self.storage_options = dict(named(self.storage_options))


class PersistencySaver:
    """Saves a persistency when it is told to, at intervals, and after so many events.

    Raises:
        PersistencyError: the path cannot be opened.
    """

    def __init__(
        self,
        persistency: EventPersistency,
        config: PersistencySaverConfig,
        *,
        classes: Classes = (),
        now: Callable[[], datetime] | None = None,
    ) -> None:
        if not isinstance(persistency, EventPersistency) or not isinstance(config, PersistencySaverConfig):
            raise PersistencyTypeError("a saver needs an EventPersistency and a PersistencySaverConfig")
        self._persistency = persistency
        self._config = config
        self._classes = tuple(classes)
        self._now = now or _utc_now
        self._storage: Storage = open_storage(config.path, config.storage_options)
        self._save_lock = threading.RLock()
        self._known = Generation()
        self._last_saved_at: str | None = None
        self._last_error: str | None = None
        self._retry_count = 0
        self._timer: threading.Thread | None = None
        self._stopping = threading.Event()
        self._previous_handler: Any = None
        if config.events_until_save is not None:
            persistency.register_on_ingest(self._save_after_events)
        if config.auto_load:
            self._auto_load()

    def save(self) -> None:
        """Write what has changed.

        Raises:
            PersistencySaveError: that failed; the previous state is still saved and the events stay counted.
        """
        with self._save_lock:
            self._refresh()
            with self._persistency.lock:
                draft = take_draft(self._persistency, self._known)
            saved_at = self._now().isoformat()
            try:
                self._known = write_draft(self._storage, draft, self._known, saved_at)
            except PersistencySaveError as error:
                self._last_error = str(error)
                raise
            self._last_saved_at, self._last_error = saved_at, None
            self._persistency.reset_events_since_save(draft.event_count)

    def load(self) -> None:
        """Replace everything the persistency holds by what is saved.

        Raises:
            PersistencyLoadError: there is no usable state; the persistency is as before.
        """
        with self._save_lock:
            made, generation = read_state(self._storage, self._persistency, self._classes)
            _swap(self._persistency, made)
            self._known = generation

    def start(self) -> None:
        """Save at intervals from now on, and a last time when the process ends or gets SIGTERM."""
        if self._timer is not None:
            return
        self._stopping.clear()
        atexit.register(self.stop)
        self._catch_sigterm()
        self._timer = threading.Thread(target=self._run, daemon=True, name="persistency-saver")
        self._timer.start()

    def stop(self) -> None:
        """Stop saving at intervals and save a last time; does nothing on a saver that is not started.

        Raises:
            PersistencySaveError: the last save failed.
        """
        timer, self._timer = self._timer, None
        if timer is None:
            return
        self._stopping.set()
        if timer is not threading.current_thread():
            timer.join(_JOIN_SECONDS_MAX)
        atexit.unregister(self.stop)
        self._release_sigterm()
        self.save()

    def get_status(self) -> dict[str, Any]:
        """Return settings and counts."""
        persistency, config = self._persistency, self._config
        return {
            "path": config.path,
            "save_interval_seconds": config.save_interval_seconds,
            "events_until_save": config.events_until_save,
            "auto_load": config.auto_load,
            "events_seen_count": len(persistency.get_events_seen()),
            "events_with_data_count": len(persistency.get_events_data()),
            "events_since_save": persistency.events_since_save,
            "last_saved_at": self._last_saved_at or _saved_at(self._known),
            "last_error": self._last_error,
        }

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep saves, loads and ingests out."""
        with self._save_lock, self._persistency.lock:
            yield

    def _refresh(self) -> None:
        """Forget what we know of the storage when somebody else has saved there."""
        on_storage = _checked(lambda: read_generation(self._storage))
        if on_storage.metadata != self._known.metadata:
            self._known = on_storage

    def _auto_load(self) -> None:
        try:
            self.load()
        except PersistencyLoadError as error:
            log.warning("no saved state was loaded, starting empty", extra={"reason": str(error)})

    def _save_after_events(self) -> None:
        limit = self._config.events_until_save
        count = self._persistency.events_since_save
        if limit is None or count < max(limit, self._retry_count):
            return
        # After a failure the next attempt waits for as many events again, so that ingesting does not come to a halt.
        self._retry_count = count + limit
        if self._try_to_save():
            self._retry_count = 0

    def _try_to_save(self) -> bool:
        """Save, and return whether that went well; `get_status` shows the reason if not."""
        try:
            self.save()
        except PersistencyError as error:
            self._last_error = str(error)
            log.warning("state was not saved", extra={"reason": str(error)})
            return False
        return True

    def _run(self) -> None:
        while not self._stopping.wait(self._config.save_interval_seconds):
            self._try_to_save()

    def _catch_sigterm(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._previous_handler = signal.signal(signal.SIGTERM, self._on_sigterm)

    def _release_sigterm(self) -> None:
        if self._previous_handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._previous_handler)
            self._previous_handler = None

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        """Save from another thread, because this one may be in the middle of an ingest, then end as without us."""
        del frame
        signal.signal(number, self._previous_handler or signal.SIG_DFL)
        self._previous_handler = None
        threading.Thread(target=self._stop_and_end, args=(number,), name="persistency-saver-end").start()

    def _stop_and_end(self, number: int) -> None:
        try:
            self.stop()
        finally:
            os.kill(os.getpid(), number)


def save(ep: EventPersistency, path: str | None = None, storage_options: dict[str, Any] | None = None) -> bytes | None:
    """Write everything to a plain path or fsspec URI, or return it as a zip archive when there is no path.

    The count of unsaved events stays as it is.

    Raises:
        PersistencySaveError: that failed; what was saved at the path before still is.
    """
    _check_persistency(ep)
    storage = ArchiveStorage() if path is None else _checked(lambda: open_storage(path, storage_options))
    known = _checked(lambda: read_generation(storage))
    with ep.lock:
        draft = take_draft(ep, known)
    write_draft(storage, draft, known, _utc_now().isoformat())
    return storage.to_bytes() if isinstance(storage, ArchiveStorage) else None


def load(
    ep: EventPersistency,
    path: str | bytes,
    storage_options: dict[str, Any] | None = None,
    *,
    classes: Classes = (),
) -> None:
    """Replace everything a persistency holds by what is saved at a path or in a zip archive.

    `classes` are backends of your own that the state may need.

    Raises:
        PersistencyLoadError: there is no usable state; the persistency is as before.
    """
    _check_persistency(ep)
    try:
        storage = ArchiveStorage(path) if isinstance(path, bytes) else open_storage(path, storage_options)
    except Exception as error:  # a torn archive raises several unrelated types
        raise PersistencyLoadError(f"saved state cannot be opened: {error}") from error
    made, _ = read_state(storage, ep, classes)
    _swap(ep, made)


def _check_persistency(given: Any) -> None:
    if not isinstance(given, EventPersistency):
        raise PersistencyTypeError(f"{given!r} is no EventPersistency; give one")


def _path_text(path: Any) -> str:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise PersistencyTypeError(f"the path {path!r} must be a path or a URI")
    return str(os.fspath(path))


def _swap(ep: EventPersistency, made: EventPersistency) -> None:
    with ep.lock:
        ep.take_over(made)


def _checked(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except Exception as error:  # file systems raise whatever they like
        raise PersistencySaveError(f"state cannot be written: {error}") from error


def _saved_at(known: Generation) -> str | None:
    return None if known.metadata is None else json.loads(known.metadata).get("saved_at")


def _utc_now() -> datetime:
    return datetime.now(UTC)
