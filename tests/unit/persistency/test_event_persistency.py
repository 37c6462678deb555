from typing import Any

import polars as pl
import pytest

from actors.persistency import ChunkedEventDataFrame, EventDataStructure, EventPersistency, EventStabilityTracker
from actors.persistency.errors import PersistencyValueError
from actors.persistency.event_tracker import EventTracker
from actors.persistency.single_tracker import SingleTracker
from actors.persistency.stability_tracker import SingleStabilityTracker


class Recording(EventDataStructure):
    """A backend without a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[dict[str, Any], float | None]] = []

    def add_data(self, data: Any, timestamp: float | None = None) -> None:
        self.rows.append((data, timestamp))

    def get_data(self) -> Any:
        return self.rows

    def get_variables(self) -> list[str]:
        return []

    def to_data(self, raw_data: Any) -> Any:
        return raw_data

    def dump(self) -> bytes:
        return b""

    @classmethod
    def load(cls, data: bytes, **kwargs: Any) -> "Recording":
        return cls()


def test_named_variables_come_first_and_indexes_keep_their_number() -> None:
    persistency = EventPersistency(Recording, ["Content", 1, "var_0"])
    given = persistency.get_all_variables(["a", "b", "c"], {"Content": 1, "user": 2, "var_0": 3})
    assert list(given.items()) == [("user", 2), ("var_0", "a"), ("var_2", "c")]


def test_a_positional_variable_takes_the_place_of_a_named_one() -> None:
    given = EventPersistency(Recording).get_all_variables(["p"], {"var_0": "n", "x": 1})
    assert list(given.items()) == [("var_0", "p"), ("x", 1)]


def test_another_prefix_may_be_asked_for() -> None:
    assert EventPersistency(Recording).get_all_variables([1], {}, "p") == {"p0": 1}


def test_a_changed_blacklist_counts_from_then_on() -> None:
    persistency = EventPersistency(Recording)
    persistency.get_all_variables([], {"a": 1})
    persistency.variable_blacklist.append("a")
    assert persistency.get_all_variables([], {"a": 1}) == {}


def test_an_event_without_variables_leaves_its_id_only() -> None:
    persistency = EventPersistency(Recording)
    persistency.ingest_event(1, "t")
    assert persistency.get_events_seen() == {1}
    assert persistency.get_event_template(1) is None
    assert persistency[1] is None


def test_an_event_whose_variables_are_all_blocked_gets_an_empty_backend() -> None:
    persistency = EventPersistency(EventStabilityTracker)
    persistency.ingest_event(1, "t", [], {"Content": "x"})
    assert persistency.get_event_template(1) == "t"
    assert persistency.get_event_data(1) == {}


def test_ids_keep_their_type() -> None:
    persistency = EventPersistency(Recording)
    persistency.ingest_event(4624, "t", ["a"])
    persistency.ingest_event("4624", "u", ["b"])
    assert persistency.get_event_templates() == {4624: "t", "4624": "u"}


def test_the_last_template_wins_and_unknown_ids_are_none() -> None:
    persistency = EventPersistency(Recording)
    persistency.ingest_event(1, "old", ["a"])
    persistency.ingest_event(1, "new", ["a"])
    assert persistency.get_event_template(1) == "new"
    assert persistency.get_event_data(2) is None


def test_a_backend_without_a_buffer_gets_each_event_with_its_time() -> None:
    persistency = EventPersistency(Recording)
    persistency.ingest_event(1, "t", ["a"], {"u": 1}, 5.0)
    assert persistency.get_event_data(1) == [({"u": 1, "var_0": "a"}, 5.0)]


def test_wrong_backend_arguments_fail_at_the_first_event() -> None:
    persistency = EventPersistency(EventStabilityTracker, event_data_kwargs={"unknown": 1})
    with pytest.raises(TypeError):
        persistency.ingest_event(1, "t", ["a"])


def test_none_stands_for_no_variables() -> None:
    persistency = EventPersistency(Recording)
    persistency.ingest_event(1, "t", None, {"u": 1})
    persistency.ingest_events([(1, "t", None, {"u": 2}, None), (1, "t", ["p"], None, None), (2, "t", None, None, None)])
    assert persistency.get_event_data(1) == [({"u": 1}, None), ({"u": 2}, None), ({"var_0": "p"}, None)]
    assert persistency.get_events_seen() == {1, 2}


def test_callbacks_run_after_the_lock_is_released() -> None:
    persistency = EventPersistency(Recording)
    counts: list[int] = []
    persistency.register_on_ingest(lambda: counts.append(persistency.events_since_save))
    persistency.ingest_event(1, "t", ["a"])
    persistency.ingest_events([(1, "t", ["a"]), {"event_id": 2, "event_template": "t", "variables": ["b"]}])
    assert counts == [1, 3]


def test_a_batch_equals_events_one_by_one() -> None:
    events: list[tuple[Any, ...]] = [(i % 3, "t", [i % 5, "c"], {"u": i // 7}, float(i)) for i in range(200)]
    one, batch = (EventPersistency(EventStabilityTracker, event_data_kwargs={"segmentation": "both"}) for _ in range(2))
    for event in events:
        one.ingest_event(*event)
    assert batch.ingest_events(events) == 200
    states = [
        {event_id: {name: item.to_state() for name, item in made.get_event_data(event_id).items()} for event_id in made}
        for made in (one, batch)
    ]
    assert states[0] == states[1]


def test_a_frame_is_events_with_named_variables() -> None:
    frame = pl.DataFrame({"id": ["a", "b", "a", None], "x": [1, 2, 1, 9], "Content": ["-"] * 4, "t": [0, 1, 2, 3]})
    persistency = EventPersistency(Recording)
    assert persistency.ingest_frame(frame, "id", timestamp_column="t", template="T") == 3
    assert persistency.get_event_data("a") == [({"x": 1}, 0.0), ({"x": 1}, 2.0)]
    assert persistency.get_event_templates() == {"a": "T", "b": "T"}


def test_a_frame_without_the_id_column_is_refused() -> None:
    with pytest.raises(PersistencyValueError, match="no column 'id'"):
        EventPersistency(Recording).ingest_frame(pl.DataFrame({"x": [1]}), "id")


def test_what_a_caller_changes_afterwards_changes_nothing() -> None:
    persistency = EventPersistency(EventStabilityTracker)
    value = [1]
    variables: list[Any] = ["a", value]
    persistency.ingest_event(1, "t", variables)
    variables[0] = "b"
    value.append(2)
    trackers = persistency.get_event_data(1)
    assert (trackers["var_0"].unique_set, trackers["var_1"].unique_set) == ({"a"}, {"[1]"})


def test_an_abstract_method_that_is_missing_is_a_type_error() -> None:
    class Partial(EventDataStructure):
        """Lacks everything."""

    with pytest.raises(TypeError):
        Partial()  # type: ignore[abstract]


def test_a_converting_backend_gets_each_event() -> None:
    class Counting(EventTracker):
        """Counts conversions."""

        def __init__(self) -> None:
            super().__init__(Seen, converter_function=lambda raw: {name.upper(): value for name, value in raw.items()})

    class Seen(SingleTracker):
        """Keeps the last value."""

        def add_value(self, value: Any, timestamp: float | None = None) -> None:
            self.last = value

        def classify(self) -> Any:
            return None

    persistency = EventPersistency(Counting)
    persistency.ingest_event(1, "t", [], {"a": 5})
    assert persistency.get_event_data(1)["A"].last == 5


def test_a_plain_tracker_backend_may_hold_stability_trackers() -> None:
    arguments = {"single_tracker_type": SingleStabilityTracker}
    persistency = EventPersistency(EventTracker, event_data_kwargs=arguments)
    persistency.ingest_event(1, "t", ["a"])
    tracker = persistency.get_event_data(1)["var_0"]
    persistency.ingest_event(1, "t", ["b"])
    assert tracker.unique_set == {"a", "b"}
    again = EventTracker.load(persistency[1].dump(), **arguments)  # type: ignore[union-attr]
    assert again.get_data()["var_0"].unique_set == {"a", "b"}  # type: ignore[attr-defined]


def test_a_backend_that_overrides_add_data_is_asked_for_each_event() -> None:
    class Odd(EventStabilityTracker):
        """Leaves out negative events."""

        def add_data(self, data: Any, timestamp: float | None = None) -> None:
            if data["x"] >= 0:
                super().add_data(data, timestamp)

    persistency = EventPersistency(Odd)
    for x in (1, -1, 2):
        persistency.ingest_event(1, "t", [], {"x": x})
    assert persistency.get_event_data(1)["x"].unique_set == {1, 2}


def test_repr_names_the_ids() -> None:
    persistency = EventPersistency(ChunkedEventDataFrame)
    persistency.ingest_event("a", "t", [1])
    assert repr(persistency) == "EventPersistency(num_event_types=1, event_ids=['a'])"


def test_merging_equals_ingesting_everything() -> None:
    values = ["a", "b", "a", "c", "b", "d", "a", "e"]
    left, right, whole = (EventPersistency(EventStabilityTracker) for _ in range(3))
    for index, value in enumerate(values):
        (left if index < 4 else right).ingest_event(1, "t", [value])
        whole.ingest_event(1, "t", [value])
    left.merge(right)
    assert left.get_event_data(1)["var_0"].to_state() == whole.get_event_data(1)["var_0"].to_state()


def test_a_merge_that_would_not_be_exact_changes_nothing() -> None:
    left, right = (EventPersistency(EventStabilityTracker, event_data_kwargs={"max_distinct": 2}) for _ in range(2))
    left.ingest_event(1, "t", ["a"])
    right.ingest_event(1, "t", ["b"])
    right.ingest_event(2, "t", ["b"])
    with pytest.raises(PersistencyValueError, match="max_distinct"):
        left.merge(right)
    assert list(left) == [1]
