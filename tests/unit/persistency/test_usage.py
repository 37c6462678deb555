"""The three ways in which code for the DetectMate library uses event persistency, with only the import changed."""

import importlib
from typing import Any

import pytest

from actors.persistency import EventPersistency
from actors.persistency.event_data_structures.dataframes import ChunkedEventDataFrame, EventDataFrame
from actors.persistency.event_data_structures.trackers import EventStabilityTracker


@pytest.mark.parametrize(
    ("tail", "names"),
    [
        ("", ["EventPersistency", "EventDataStructure", "PersistencySaver", "PersistencySaverConfig", "save", "load"]),
        (".event_data_structures.dataframes", ["EventDataFrame", "ChunkedEventDataFrame"]),
        (".event_data_structures.trackers", ["EventTracker", "MultiTracker", "SingleTracker", "EventStabilityTracker"]),
        (".event_persistency", ["EventPersistency"]),
        (".persistency_saver", ["PersistencySaver", "PersistencyLoadError"]),
        (".rle_list", ["RLEList"]),
    ],
)
def test_names_are_where_they_were(tail: str, names: list[str]) -> None:
    module = importlib.import_module(f"actors.persistency{tail}")
    assert [name for name in names if not hasattr(module, name)] == []


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
