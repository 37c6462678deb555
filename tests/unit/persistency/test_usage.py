"""The three ways in which code for the DetectMate library uses event persistency, with only the import changed."""

import importlib
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from actors.persistency import (
    ChunkedEventDataFrame,
    EventDataFrame,
    EventDataset,
    EventPersistency,
    EventStabilityTracker,
)
from actors.persistency.import_paths import PATHS


@pytest.mark.parametrize(
    ("tail", "names"),
    [
        ("", ["EventPersistency", "EventDataStructure", "PersistencySaver", "PersistencySaverConfig", "save", "load"]),
        (".event_data_structures.dataframes", ["EventDataFrame", "ChunkedEventDataFrame"]),
        (".event_data_structures.trackers", ["EventTracker", "MultiTracker", "SingleTracker", "EventStabilityTracker"]),
        ("", ["EventDataset", "EventStabilityTracker", "PersistencyLoadError", "PersistencySaveError"]),
        (".event_data_structures.trackers.stability", ["ClassificationMethods", "StabilityClassifier"]),
        (".event_persistency", ["EventPersistency"]),
        (".persistency_saver", ["PersistencySaver", "PersistencyLoadError"]),
        (".rle_list", ["RLEList"]),
    ],
)
def test_names_are_where_they_were(tail: str, names: list[str]) -> None:
    module = importlib.import_module(f"actors.persistency{tail}")
    assert [name for name in names if not hasattr(module, name)] == []


@pytest.mark.parametrize(
    ("tail", "ours"),
    [
        ("base", "event_data_structure"),
        ("trackers.rle_list", "rle_list"),
        ("trackers.stability.stability_tracker", "stability_tracker"),
    ],
)
@pytest.mark.parametrize("root", ["event_data_structures", "data_structures"])
def test_a_path_that_ends_in_a_module_is_that_module(root: str, tail: str, ours: str) -> None:
    found = importlib.import_module(f"actors.persistency.{root}.{tail}")
    assert found is importlib.import_module(f"actors.persistency.{ours}")


@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_path_gives_what_it_promises(path: str) -> None:
    module, target = importlib.import_module(path), PATHS[path]
    if isinstance(target, str):
        assert module.__name__ == f"actors.persistency.{target}"
    else:
        assert [
            name for name in target if getattr(module, name).__module__ != f"actors.persistency.{target[name]}"
        ] == []
        assert module.__all__ == sorted(target)


def test_paths_are_imported_as_any_module_is() -> None:
    code = """
        import actors.persistency.event_data_structures.trackers as trackers
        from actors.persistency.event_data_structures.trackers import *
        from actors.persistency.event_data_structures.dataframes import ChunkedEventDataFrame
        import actors.persistency.data_structures.trackers.stability.stability_tracker
        from actors.persistency import data_structures
        assert data_structures.trackers.stability.stability_tracker.EventStabilityTracker is EventStabilityTracker
        assert EventTracker is trackers.EventTracker
        try:
            from actors.persistency.event_data_structures import Missing
        except ImportError as error:
            assert "Missing" in str(error)
        try:
            import actors.persistency.event_data_structures.missing
        except ModuleNotFoundError:
            print("fine")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "fine\n"


def test_stability_is_followed_when_no_backend_is_named() -> None:
    persistency = EventPersistency()
    persistency.ingest_event("4624", "logon", named_variables={"user": "ann"})
    held = persistency.event_struct
    assert (held.data_class, held.data_kwargs, held.templates) == (EventStabilityTracker, {}, {"4624": "logon"})
    assert held.data["4624"] is persistency["4624"]


def test_features_are_found_under_both_names() -> None:
    persistency = EventPersistency(EventStabilityTracker)
    for _ in range(5):
        persistency.ingest_event(1, "t", ["same"])
    backend = persistency[1]
    assert isinstance(backend, EventStabilityTracker)
    assert backend.get_variables_by_classification("STATIC") == ["var_0"]
    assert backend.multi_tracker.get_variables_by_classification("STATIC") == ["var_0"]  # type: ignore[attr-defined]


def test_a_part_of_the_unsaved_events_is_taken_off() -> None:
    persistency = EventPersistency()
    persistency.ingest_events([(1, "t", ["a"])] * 5)
    persistency.reset_events_since_save(3)
    assert persistency.events_since_save == 2


class Lengths(EventDataset):
    """A backend of somebody else, with the methods that version 0.6 asks for."""

    def _add_data(self, data_object: Any, timestamp: float | None = None) -> None:
        self.template += f"{data_object}@{timestamp} "

    def get_data(self) -> str:
        return self.template

    def get_variables(self) -> list[str]:
        return []

    def to_data(self, raw_data: Any) -> int:
        return len(raw_data)

    def dump(self) -> bytes:
        return self.template.encode()

    @classmethod
    def load(cls, data: bytes, **kwargs: Any) -> "Lengths":
        return cls(template=data.decode(), **kwargs)


def test_a_backend_that_defines_the_newer_method_is_fed() -> None:
    persistency = EventPersistency(Lengths)
    persistency.ingest_event(1, "t", ["a", "b"], timestamp=2.0)
    backend = persistency[1]
    assert isinstance(backend, Lengths)
    backend.add_data({"x": 1}, do_preprocess=True)
    assert persistency.get_event_data(1) == "2@2.0 1@None "


@pytest.mark.parametrize("backend", [EventDataFrame, ChunkedEventDataFrame])
def test_events_are_stored_and_read_again(backend: Any) -> None:
    pytest.importorskip("pandas", reason="EventDataFrame needs the extra `pandas`")
    arguments = {"max_rows": 1000} if backend is ChunkedEventDataFrame else {}
    persistency = EventPersistency(
        event_data_class=backend, variable_blacklist=["Content"], event_data_kwargs=arguments
    )
    persistency.ingest_event(
        event_id="login",
        event_template="user <*> from <*>",
        variables=["ann", "10.0.0.1"],
        named_variables={"host": "web1", "Content": "all of it"},
    )
    rows = persistency.get_event_data("login")
    assert (list(rows.columns), len(rows)) == (["host", "var_0", "var_1"], 1)
    assert list(persistency.get_events_data()) == ["login"]
    assert persistency.get_event_template("login") == "user <*> from <*>"
    assert persistency.get_event_templates() == {"login": "user <*> from <*>"}
    assert isinstance(persistency["login"], backend)
    assert persistency["logout"] is None


class UnseenUser:
    """A detector of somebody else: it learns in `train` and asks what it has learned in `detect`."""

    def __init__(self) -> None:
        self.persistency = EventPersistency(event_data_class=EventStabilityTracker)

    def train(self, event: dict[str, Any]) -> None:
        self.persistency.ingest_event(
            event_id=event["EventID"], event_template=event["template"], named_variables=event["variables"]
        )

    def detect(self, event: dict[str, Any]) -> list[str]:
        alerts = []
        for event_id, backend in self.persistency.get_events_data().items():
            trackers = backend.get_data()
            alerts += [
                f"{event_id}: {name} is {value}"
                for name, value in event["variables"].items()
                if event["EventID"] == event_id and value not in trackers[name].unique_set
            ]
        return alerts


def test_a_detector_learns_and_asks() -> None:
    detector = UnseenUser()
    for user in ("ann", "bob", "ann", "ann"):
        detector.train({"EventID": 4624, "template": "logon", "variables": {"user": user, "kind": 3}})
    found = detector.detect({"EventID": 4624, "template": "logon", "variables": {"user": "eve", "kind": 3}})
    assert found == ["4624: user is eve"]
    backend = detector.persistency[4624]
    assert isinstance(backend, EventStabilityTracker)
    assert {name: verdict.type for name, verdict in backend.classify().items()} == {
        "user": "UNSTABLE",
        "kind": "STATIC",
    }
