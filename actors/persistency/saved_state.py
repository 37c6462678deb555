"""One generation of saved state: which files it has, how they are written, and how they are read back.

`metadata.json` names the file and the digest of every id and is written last, so it alone decides which generation is
the saved one. The file of an id that has changed is written beside the one in use, under another name, which is
deleted once the metadata is in place. A reader that meets files of another generation than its metadata sees that
from the digests. Backends are found by name among those of this package and those that the caller gives.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import xxhash

from actors.persistency.backends import BACKENDS, find_backend
from actors.persistency.errors import PersistencyError, PersistencyLoadError, PersistencySaveError
from actors.persistency.event_data_structure import EventDataStructure
from actors.persistency.event_persistency import EventId, EventPersistency
from actors.persistency.storage import Storage

METADATA = "metadata.json"
VERSION = 1
_NAME_LENGTH_MAX = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFile:
    """The file of one id."""

    name: str
    """Name within the storage."""

    digest: str
    """Hash of its content; empty where the metadata, being another program's, has none."""


@dataclass(slots=True)
class Generation:
    """What a storage holds, as far as its last reader or writer knows."""

    files: dict[EventId, SavedFile] = field(default_factory=dict)
    """The file of each id."""

    revisions: dict[EventId, object] = field(default_factory=dict)
    """Revision that each backend had when its file was written, where the backend has one."""

    metadata: bytes | None = None
    """Content of the metadata file; `None` when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """State taken out of a persistency, to be written without its lock."""

    head: Mapping[str, Any]
    """Everything the metadata says except the files."""

    backends: Mapping[EventId, tuple[str, str]]
    """Class name and extension of each id."""

    dumps: Mapping[EventId, bytes]
    """Content of the ids that may have changed."""

    revisions: Mapping[EventId, object]
    """Revisions of all backends that have one."""

    event_count: int
    """Unsaved events that this draft covers."""


def take_draft(persistency: EventPersistency, known: Generation) -> Draft:
    """Return the state of a persistency; ids whose revision is the known one are not dumped. Call under its lock.

    Raises:
        PersistencySaveError: a backend cannot be dumped.
    """
    revisions = {event_id: backend.revision() for event_id, backend in persistency.events_data.items()}
    revisions = {event_id: revision for event_id, revision in revisions.items() if revision is not None}
    dumps = {}
    for event_id, backend in persistency.events_data.items():
        same = (
            event_id in known.files and event_id in revisions and known.revisions.get(event_id) == revisions[event_id]
        )
        if not same:
            dumps[event_id] = _dump(event_id, backend)
    kinds = {event_id: (type(backend).__name__, _extension(backend)) for event_id, backend in _items(persistency)}
    head = {
        "events_seen": sorted(persistency.events_seen, key=_id_order),
        "event_templates": [list(item) for item in persistency.event_templates.items()],
        "event_data_kwargs": {name: value for name, value in persistency.event_data_kwargs.items() if _is_json(value)},
        "event_data_class": persistency.event_data_class.__name__,
    }
    count = persistency.events_since_save
    return Draft(head=head, backends=kinds, dumps=dumps, revisions=revisions, event_count=count)


def write_draft(storage: Storage, draft: Draft, known: Generation, saved_at: str) -> Generation:
    """Write a draft and return the generation that the storage then holds; on failure it holds the known one.

    Raises:
        PersistencySaveError: the storage refuses.
    """
    try:
        return _write(storage, draft, known, saved_at)
    except PersistencyError:
        raise
    except Exception as error:  # file systems raise whatever they like
        raise PersistencySaveError(f"state cannot be written: {error!r}; the previous state is untouched") from error


def read_generation(storage: Storage) -> Generation:
    """Return what a storage holds, without reading the files of ids; empty when that cannot be told."""
    data = storage.read(METADATA)
    if data is None:
        return Generation()
    try:
        content = json.loads(data)
        files = {event_id: SavedFile(name=name, digest=digest) for event_id, name, digest in _listed_files(content)}
    except (ValueError, AttributeError, LookupError, TypeError):
        return Generation(metadata=data)
    return Generation(files=files, metadata=data)


def read_state(
    storage: Storage, persistency: EventPersistency, classes: Iterable[type[EventDataStructure]] = ()
) -> tuple[EventPersistency, Generation]:
    """Return a new persistency with what a storage holds; `persistency` gives the arguments that no file can hold.

    Raises:
        PersistencyLoadError: there is no state, or it is torn, or needs a backend that is not known.
    """
    for _ in range(_READ_COUNT_MAX):
        try:
            generation = read_generation(storage)
        except Exception as error:  # file systems raise whatever they like
            raise PersistencyLoadError(f"saved state cannot be read: {error}") from error
        try:
            return _build(storage, generation, persistency, classes), generation
        except PersistencyLoadError:
            # Somebody may have saved while we read; only then is another try worth it.
            if storage.read(METADATA) == generation.metadata:
                raise
        except Exception as error:  # torn state raises whatever it happens to look like
            raise PersistencyLoadError(f"saved state cannot be read: {error!r}") from error
    raise PersistencyLoadError("saved state changed at every attempt to read it; try again when nobody saves")


_READ_COUNT_MAX = 5


def _write(storage: Storage, draft: Draft, known: Generation, saved_at: str) -> Generation:
    files: dict[EventId, SavedFile] = {}
    taken = {file.name.casefold() for file in known.files.values()}
    for event_id, (_, extension) in draft.backends.items():
        used = known.files.get(event_id)
        data = draft.dumps.get(event_id)
        digest = used.digest if data is None and used is not None else xxhash.xxh3_128_hexdigest(data or b"")
        if used is not None and digest == used.digest:
            files[event_id] = used
            continue
        assert data is not None  # an id without a file is always dumped
        name = _free_name(event_id, extension, taken)
        taken.add(name.casefold())
        storage.write(name, data)
        files[event_id] = SavedFile(name=name, digest=digest)
    metadata = _metadata(draft, files, saved_at)
    storage.write(METADATA, metadata)
    in_use = {file.name for file in files.values()}
    for file in known.files.values():
        if file.name not in in_use:
            storage.delete(file.name)
    return Generation(files=files, revisions=dict(draft.revisions), metadata=metadata)


def _metadata(draft: Draft, files: Mapping[EventId, SavedFile], saved_at: str) -> bytes:
    content = {
        "version": VERSION,
        "saved_at": saved_at,
        **draft.head,
        "event_backends": [[event_id, kind] for event_id, (kind, _) in draft.backends.items()],
        "event_extensions": [[event_id, extension] for event_id, (_, extension) in draft.backends.items()],
        "files": [[event_id, file.name, file.digest] for event_id, file in files.items()],
    }
    return json.dumps({**content, "digest": _digest(content)}, indent=1).encode()


def _digest(content: Mapping[str, Any]) -> str:
    """Return the hash of what the metadata says, whatever the spaces between."""
    return xxhash.xxh3_128_hexdigest(json.dumps(content).encode())


def _build(
    storage: Storage,
    generation: Generation,
    persistency: EventPersistency,
    classes: Iterable[type[EventDataStructure]],
) -> EventPersistency:
    if generation.metadata is None:
        raise PersistencyLoadError(f"there is no saved state: {METADATA} is missing")
    content = json.loads(generation.metadata)
    digest = content.pop("digest", None)
    if content.get("version") != VERSION:
        raise PersistencyLoadError(f"saved state has version {content.get('version')!r}; this program reads {VERSION}")
    # Other programs, and this one in earlier days, leave it out.
    if digest is not None and digest != _digest(content):
        raise PersistencyLoadError(f"saved state is damaged: {METADATA} does not fit its digest")
    known = [*classes, persistency.event_data_class]
    ids = {str(event_id): event_id for event_id in content["events_seen"]}
    kept = {name: value for name, value in persistency.event_data_kwargs.items() if not _is_json(value)}
    made = EventPersistency(
        _find_class(content["event_data_class"], known),
        persistency.variable_blacklist,
        event_data_kwargs={**kept, **content.get("event_data_kwargs", {})},
    )
    made.events_seen = set(content["events_seen"])
    made.event_templates = dict(_pairs(content["event_templates"], ids))
    extensions = dict(_pairs(content["event_extensions"], ids))
    for event_id, kind in _pairs(content["event_backends"], ids):
        data = _read_file(storage, generation, event_id, extensions[event_id])
        backend_class = _find_class(kind, known)
        arguments = made.event_data_kwargs if backend_class is made.event_data_class else {}
        made.events_data[event_id] = backend_class.load(data, **arguments)
    return made


def _listed_files(content: Mapping[str, Any]) -> Iterable[tuple[EventId, str, str]]:
    """Return id, name and digest of each file, also of state whose metadata leaves names and digests to convention."""
    if "files" in content:
        return [(event_id, name, digest) for event_id, name, digest in content["files"]]
    ids = {str(event_id): event_id for event_id in content["events_seen"]}
    return [
        (event_id, f"events/{event_id}.{extension}", "")
        for event_id, extension in _pairs(content["event_extensions"], ids)
    ]


def _read_file(storage: Storage, generation: Generation, event_id: EventId, extension: str) -> bytes:
    file = generation.files.get(event_id)
    name = f"events/{event_id}.{extension}" if file is None else file.name
    data = storage.read(name)
    if data is None:
        raise PersistencyLoadError(f"saved state of event id {event_id!r} is missing: {name}")
    if file is not None and file.digest and xxhash.xxh3_128_hexdigest(data) != file.digest:
        raise PersistencyLoadError(f"saved state of event id {event_id!r} is torn: {name} has another digest")
    return data


def _pairs(given: Any, ids: Mapping[str, EventId]) -> Iterable[tuple[EventId, Any]]:
    """Return pairs of id and value; a JSON object, whose keys are texts, gets its ids back from the ids seen."""
    if isinstance(given, Mapping):
        return [(ids.get(name, name), value) for name, value in given.items()]
    return [(event_id, value) for event_id, value in given]


def _find_class(name: str, known: Iterable[type[EventDataStructure]]) -> type[EventDataStructure]:
    for candidate in known:
        if candidate.__name__ == name:
            return candidate
    if name in BACKENDS:
        return find_backend(name)
    raise PersistencyLoadError(f"saved state needs the backend {name!r}; give its class to `load` in `classes`")


def _dump(event_id: EventId, backend: EventDataStructure) -> bytes:
    try:
        return backend.dump()
    except Exception as error:  # a backend of the user's may raise anything
        raise PersistencySaveError(f"the state of event id {event_id!r} cannot be dumped: {error}") from error


def _items(persistency: EventPersistency) -> Iterable[tuple[EventId, EventDataStructure]]:
    return persistency.events_data.items()


def _extension(backend: EventDataStructure) -> str:
    return "parquet" if any("DataFrame" in kind.__name__ for kind in type(backend).__mro__) else "msgpack"


def _free_name(event_id: EventId, extension: str, taken: Collection[str]) -> str:
    """Return a file name for an id that no file of this or the previous state has, also where case does not count."""
    names = (f"events/{stem}{turn}.{extension}" for stem in _file_stems(event_id) for turn in ("", ".1"))
    return next(name for name in names if name.casefold() not in taken)


def _file_stems(event_id: EventId) -> Iterable[str]:
    """Return the id as part of a file name, where it can be one, and a name that no other id has."""
    stem = quote(str(event_id), safe=" ", errors="surrogatepass").replace("~", "%7E").replace(".", "%2E")
    if len(stem) <= _NAME_LENGTH_MAX and stem.strip():
        yield stem
    yield f"~h{xxhash.xxh3_128_hexdigest(repr(event_id).encode('utf-8', 'surrogatepass'))}"


def _id_order(event_id: EventId) -> tuple[bool, Any]:
    return isinstance(event_id, str), event_id


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
