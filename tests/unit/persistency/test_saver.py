import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from actors.persistency import (
    ChunkedEventDataFrame,
    EventPersistency,
    EventStabilityTracker,
    PersistencyLoadError,
    PersistencySaver,
    PersistencySaverConfig,
    load,
    save,
)
from actors.persistency.errors import PersistencyError, PersistencySaveError
from actors.persistency.storage import DirectoryStorage


def filled(backend: Any = EventStabilityTracker, **arguments: Any) -> EventPersistency:
    persistency = EventPersistency(backend, event_data_kwargs=arguments)
    for event_id in (4624, "4624", "a/b.c", "", "Öl" * 90, "x"):
        persistency.ingest_events((event_id, f"t{event_id}", ["v", i]) for i in range(5))
    persistency.ingest_event("bare", "t")
    return persistency


def content(persistency: EventPersistency) -> Any:
    states = {}
    for event_id, backend in persistency.events_data.items():
        data = backend.get_data()
        states[event_id] = data.rows() if hasattr(data, "rows") else {n: t.to_state() for n, t in data.items()}
        for state in states[event_id].values() if isinstance(states[event_id], dict) else ():
            state["unique_set"] = sorted(map(str, state["unique_set"]))
    return states, persistency.events_seen, persistency.event_templates


@pytest.mark.parametrize("backend", [EventStabilityTracker, ChunkedEventDataFrame])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_is_saved_is_loaded_with_its_ids(tmp_path: Path, backend: Any, scheme: str) -> None:
    persistency = filled(backend)
    save(persistency, f"{scheme}{tmp_path}/state")
    again = EventPersistency(EventStabilityTracker)
    load(again, f"{scheme}{tmp_path}/state")
    assert content(again) == content(persistency)
    assert again.event_data_class is backend


def test_a_zip_archive_holds_the_same() -> None:
    persistency = filled()
    data = save(persistency)
    assert data is not None
    again = EventPersistency(ChunkedEventDataFrame, event_data_kwargs={"max_rows": 3})
    load(again, data)
    assert content(again) == content(persistency)
    assert (again.event_data_kwargs, persistency.events_since_save) == ({}, 31)


def test_loaded_settings_replace_those_given(tmp_path: Path) -> None:
    save(filled(segmentation="both"), str(tmp_path))
    again = EventPersistency(EventStabilityTracker, event_data_kwargs={"min_samples": 9})
    load(again, str(tmp_path))
    assert again.event_data_kwargs == {"segmentation": "both"}


def test_the_layout_is_metadata_and_one_file_per_id(tmp_path: Path) -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_event(7, "t", ["a"])
    save(persistency, str(tmp_path))
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    assert (metadata["version"], metadata["events_seen"]) == (1, [7])
    assert (tmp_path / "events" / "7.msgpack").exists()


def test_a_file_is_named_like_its_id(tmp_path: Path) -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_events((event_id, "t", ["a"]) for event_id in ("E1", "4624", "a/b.c", "k" * 300))
    save(persistency, str(tmp_path))
    names = [path.stem for path in (tmp_path / "events").iterdir() if not path.name.startswith("~h")]
    assert sorted(names) == ["4624", "E1", "a%2Fb%2Ec"]


def test_ids_that_some_file_systems_cannot_tell_apart_have_files_of_their_own(tmp_path: Path) -> None:
    persistency = EventPersistency(EventStabilityTracker)
    saver = PersistencySaver(persistency, PersistencySaverConfig(str(tmp_path)))
    for event_id in ("E1", "e1", 4624, "4624", "E1"):
        persistency.ingest_event(event_id, "t", [f"of {event_id!r}"])
        saver.save()
    names = [path.name.casefold() for path in (tmp_path / "events").iterdir()]
    assert len(set(names)) == len(names) == 4
    again = EventPersistency(EventStabilityTracker)
    load(again, str(tmp_path))
    assert content(again) == content(persistency)


def test_a_save_that_fails_over_state_without_a_list_of_files_leaves_that_state(tmp_path: Path) -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_event("e", "t", ["old"])
    save(persistency, str(tmp_path))
    # Other programs list no files, but name each one after its id, and give no digest.
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    del metadata["files"], metadata["digest"]
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    saver = PersistencySaver(persistency, PersistencySaverConfig(str(tmp_path)))
    persistency.ingest_event("e", "t", ["new"])
    saver._storage = Failing(tmp_path, 1)
    with pytest.raises(PersistencySaveError):
        saver.save()
    again = EventPersistency(EventStabilityTracker)
    load(again, str(tmp_path))
    assert again.get_event_data("e")["var_0"].unique_set == {"old"}  # type: ignore[index]


def test_only_changed_ids_are_written_again(tmp_path: Path) -> None:
    persistency = filled()
    saver = PersistencySaver(persistency, PersistencySaverConfig(str(tmp_path)))
    saver.save()
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "events").iterdir()}
    persistency.ingest_event("x", "t", ["new"])
    saver.save()
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "events").iterdir()}
    assert set(before.items()) - set(after.items()) == {("x.msgpack", before["x.msgpack"])}
    assert set(after) - set(before) == {"x.1.msgpack"}


class Failing(DirectoryStorage):
    """Fails at the n-th change, as a crash would."""

    def __init__(self, root: Path, left: int) -> None:
        super().__init__(root)
        self.left = left

    def write(self, name: str, data: bytes) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError("no space left")
        super().write(name, data)

    def delete(self, name: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError("gone")
        super().delete(name)


def test_a_crash_at_any_point_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    seen = set()
    for left in range(14):
        root = tmp_path / str(left)
        persistency = filled()
        saver = PersistencySaver(persistency, PersistencySaverConfig(str(root)))
        saver.save()
        for event_id in list(persistency.events_data):
            persistency.ingest_event(event_id, "new", ["later", 1])
        saver._storage = Failing(root, left)
        try:
            saver.save()
        except PersistencySaveError:
            assert persistency.events_since_save == 6
        again = EventPersistency(EventStabilityTracker)
        load(again, str(root))
        counts = {len(again.get_event_data(event_id)["var_0"].change_series) for event_id in again}
        assert len(counts) == 1
        seen |= counts
    assert seen == {5, 6}


def test_a_saver_goes_on_after_a_failure(tmp_path: Path) -> None:
    persistency = filled()
    saver = PersistencySaver(persistency, PersistencySaverConfig(str(tmp_path)))
    healthy, saver._storage = saver._storage, Failing(tmp_path, 3)
    with pytest.raises(PersistencySaveError, match="no space left"):
        saver.save()
    assert "no space left" in saver.get_status()["last_error"]
    saver._storage = healthy
    saver.save()
    again = EventPersistency(EventStabilityTracker)
    load(again, str(tmp_path))
    assert content(again) == content(persistency)
    assert (persistency.events_since_save, saver.get_status()["last_error"]) == (0, None)


def test_events_that_cannot_be_dumped_fail_the_save(tmp_path: Path) -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_event(1, "t", [object()])
    with pytest.raises(PersistencySaveError, match="event id 1"):
        save(persistency, str(tmp_path))


def test_two_savers_on_one_path_do_not_mix(tmp_path: Path) -> None:
    one, two = filled(), filled()
    savers = [PersistencySaver(made, PersistencySaverConfig(str(tmp_path))) for made in (one, two)]
    for turn in range(4):
        (one, two)[turn % 2].ingest_event("x", "t", [f"turn {turn}"])
        savers[turn % 2].save()
    again = EventPersistency(EventStabilityTracker)
    load(again, str(tmp_path))
    assert content(again) == content(two)


@pytest.mark.parametrize("damage", ["missing", "version", "torn metadata", "torn file", "no file", "class"])
def test_damaged_state_is_refused_and_changes_nothing(tmp_path: Path, damage: str) -> None:
    save(filled(), str(tmp_path))
    metadata = tmp_path / "metadata.json"
    text = metadata.read_text()
    changes = {
        "missing": metadata.unlink,
        "version": lambda: metadata.write_text(text.replace('"version": 1', '"version": 2')),
        "torn metadata": lambda: metadata.write_text(text[:-20]),
        "torn file": lambda: (tmp_path / "events" / "x.msgpack").write_bytes(b"torn"),
        "no file": (tmp_path / "events" / "x.msgpack").unlink,
        "class": lambda: metadata.write_text(text.replace("EventStabilityTracker", "os.system")),
    }
    changes[damage]()
    persistency = EventPersistency(ChunkedEventDataFrame)
    persistency.ingest_event(1, "t", ["kept"])
    with pytest.raises(PersistencyLoadError):
        load(persistency, str(tmp_path))
    assert persistency.get_event_data(1).rows() == [("kept",)]  # type: ignore[union-attr]


def test_no_flipped_bit_of_the_metadata_gives_another_state(tmp_path: Path) -> None:
    saved = EventPersistency(EventStabilityTracker)
    saved.ingest_events((event_id, "Öl", ["v", i]) for event_id in (4624, "a/b.c") for i in range(5))
    save(saved, str(tmp_path))
    metadata = tmp_path / "metadata.json"
    data, expected = metadata.read_bytes(), content(saved)
    # The name of the digest itself makes it state of a program that gives none.
    for place in range(data.index(b'"digest"')):
        metadata.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        persistency = EventPersistency()
        with suppress(PersistencyLoadError):
            load(persistency, str(tmp_path))
            assert content(persistency) == expected


@pytest.mark.parametrize("path", ["", "file://", "\0", "x" * 5000])
def test_a_path_that_cannot_be_one_is_refused(path: str) -> None:
    with pytest.raises(PersistencyLoadError, match="saved state cannot be"):
        load(EventPersistency(), path)
    with pytest.raises(PersistencySaveError, match="state cannot be written"):
        save(EventPersistency(), path)


def test_auto_load_without_state_starts_empty(tmp_path: Path) -> None:
    config = PersistencySaverConfig(str(tmp_path / "none"), auto_load=True)
    PersistencySaver(EventPersistency(EventStabilityTracker), config)
    with pytest.raises(PersistencyLoadError, match=r"metadata\.json is missing"):
        PersistencySaver(EventPersistency(EventStabilityTracker), config).load()


def test_so_many_events_cause_a_save(tmp_path: Path) -> None:
    persistency = EventPersistency(EventStabilityTracker)
    saver = PersistencySaver(persistency, PersistencySaverConfig(str(tmp_path), events_until_save=3))
    persistency.ingest_events([(1, "t", ["a"])] * 2)
    assert saver.get_status()["last_saved_at"] is None
    persistency.ingest_event(1, "t", ["a"])
    status = saver.get_status()
    assert (status["events_since_save"], status["events_with_data_count"]) == (0, 1)
    assert status["last_saved_at"] is not None


def test_a_failure_of_a_save_by_count_does_not_stop_ingesting(tmp_path: Path) -> None:
    persistency = EventPersistency(EventStabilityTracker)
    saver = PersistencySaver(persistency, PersistencySaverConfig(str(tmp_path), events_until_save=2))
    healthy, saver._storage = saver._storage, Failing(tmp_path, 0)
    persistency.ingest_events([(1, "t", ["a"])] * 2)
    assert "no space left" in saver.get_status()["last_error"]
    saver._storage = healthy
    unsaved = []
    for _ in range(2):
        persistency.ingest_event(1, "t", ["a"])
        unsaved.append(persistency.events_since_save)
    assert unsaved == [3, 0]


def test_stopping_saves_once_and_may_be_repeated(tmp_path: Path) -> None:
    persistency = EventPersistency(EventStabilityTracker)
    saver = PersistencySaver(persistency, PersistencySaverConfig(str(tmp_path)))
    saver.stop()
    assert not (tmp_path / "metadata.json").exists()
    saver.start()
    persistency.ingest_event(1, "t", ["a"])
    saver.stop()
    saver.stop()
    again = EventPersistency(EventStabilityTracker)
    PersistencySaver(again, PersistencySaverConfig(str(tmp_path), auto_load=True))
    assert list(again) == [1]


def test_the_lock_keeps_saves_out(tmp_path: Path) -> None:
    saver = PersistencySaver(EventPersistency(EventStabilityTracker), PersistencySaverConfig(str(tmp_path)))
    with saver.locked():
        saver.save()
    assert (tmp_path / "metadata.json").exists()


def test_sigterm_saves_and_ends_the_process(tmp_path: Path) -> None:
    code = textwrap.dedent(f"""
        import sys, threading
        from actors.persistency import *
        p = EventPersistency(EventStabilityTracker)
        s = PersistencySaver(p, PersistencySaverConfig({str(tmp_path)!r}))
        s.start()
        p.ingest_event(1, "t", ["a"])
        print("ready", flush=True)
        while True:
            threading.Event().wait(0.05)
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    process.stdout.close()
    again = EventPersistency(EventStabilityTracker)
    load(again, str(tmp_path))
    assert list(again) == [1]


def test_a_uri_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(PersistencyError, match="needs the package fsspec"):
        save(filled(), "memory://state")


def test_a_uri_of_fsspec_works_where_it_is_installed() -> None:
    pytest.importorskip("fsspec")
    save(filled(), f"memory://state-{os.getpid()}")
    again = EventPersistency(EventStabilityTracker)
    load(again, f"memory://state-{os.getpid()}")
    assert content(again) == content(filled())
