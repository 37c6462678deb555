"""The stability tracker: how often a variable brings something new, and whether that dies out.

A tracker keeps what it has seen (`unique_set`), one true or false per observation (`change_series`, as runs), and, when
a test needs them, the times of observations. `max_distinct` bounds what it has seen: up to the cap everything is exact;
beyond it further values go into a sketch, and an unknown value is a change as long as the sketch's estimate of distinct
values exceeds the number of changes. `time_buckets` bounds the times: they are counted per span instead of kept. With
`expire_after` a value not seen for longer than that is forgotten and is a change when it comes back; time is that of
the observations.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from actors.persistency.arguments import choice, whole
from actors.persistency.classification_methods import (
    DEFAULT_SEGMENT_THRESHOLDS,
    ClassificationMethods,
)
from actors.persistency.errors import PersistencyLoadError, PersistencyValueError
from actors.persistency.event_data_structure import EventDataStructure
from actors.persistency.event_tracker import EventTracker, identity
from actors.persistency.known_values import KnownValues
from actors.persistency.multi_tracker import MultiTracker
from actors.persistency.rle_list import RLEList, append_changes
from actors.persistency.row_buffer import Columns
from actors.persistency.row_buffer import Timestamps as RowTimes
from actors.persistency.single_tracker import Classification, SingleTracker
from actors.persistency.stability_classifier import (
    StabilityClassifier,
    Timestamps,
    are_usable,
)
from actors.persistency.time_buckets import TimeBuckets
from actors.persistency.timeline import Timeline, pick
from actors.persistency.value_semantics import SEMANTICS, find_semantics
from actors.persistency.values import decode_value, encode_value

SAVED_MODULE = "actors.persistency.event_data_structures.trackers.stability.stability_tracker"
"""The import path that saved state names, whatever file the tracker stands in."""

SEGMENTATIONS = ("count", "time", "both")


class SingleStabilityTracker(SingleTracker):
    """Stability of one variable.

    `classification` names the tests by itself and then takes the place of `segmentation` and `segment_thresholds`; it
    may be set anew at any time. `expand_value` is the older name of the semantics `CharsetDetector`.

    Raises:
        PersistencyValueError: an argument that cannot be used.
    """

    takes_blocks: ClassVar[bool] = True

    def __init__(
        self,
        min_samples: int = 3,
        segmentation: str = "count",
        add_value_fn: str = "default",
        detector_config: Any = None,
        *,
        segment_thresholds: Sequence[float] = DEFAULT_SEGMENT_THRESHOLDS,
        classification: ClassificationMethods | Mapping[str, Any] | None = None,
        max_distinct: int | None = None,
        expire_after: float | None = None,
        time_buckets: int | None = None,
        expand_value: bool = False,
    ) -> None:
        if expand_value and add_value_fn == "default":
            add_value_fn = "CharsetDetector"
        self.min_samples = whole("min_samples", min_samples, 0)
        self.segmentation = choice("segmentation", segmentation, SEGMENTATIONS)
        self.add_value_fn = add_value_fn = choice("add_value_fn", add_value_fn, tuple(SEMANTICS))
        if (
            detector_config is not None
            and not isinstance(detector_config, Mapping)
            and not hasattr(detector_config, "__dict__")
        ):
            raise PersistencyValueError(f"detector_config {detector_config!r} must be a mapping of settings")
        self.detector_config = detector_config
        self.stability_classifier = (
            StabilityClassifier(segment_thresholds)
            if classification is None
            else StabilityClassifier(classification=classification)
        )
        semantics = find_semantics(add_value_fn, detector_config)
        self._known = KnownValues(semantics, add_value_fn == "default", max_distinct, expire_after)
        self._changes: RLEList[bool] = RLEList()
        self._timeline = Timeline()
        self._buckets = None if time_buckets is None else TimeBuckets(time_buckets)
        self._shares_timeline = False
        self._before_read: Callable[[], None] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "add_value" in cls.__dict__:
            cls.takes_blocks = "add_block" in cls.__dict__

    def add_value(self, value: Any, timestamp: float | None = None) -> None:
        """Take one observation; the timestamp is in seconds and is kept only if a test needs it."""
        self._sync()
        self.add_block((value,), (timestamp,))

    def add_block(self, values: Sequence[Any], timestamps: Sequence[float | None]) -> None:
        """Take observations, in order."""
        if self._shares_timeline:
            self._leave_shared_timeline()
        self.take(values, timestamps)

    def take(self, values: Sequence[Any], timestamps: Sequence[float | None]) -> None:
        """Take observations whose times the owner of a shared timeline will add, if all of them are observed."""
        observed, changed = self._known.observe(values, timestamps, self._changes)
        count = len(values) if observed is None else len(observed)
        append_changes(self._changes, count, changed)
        if not self.needs_timestamps:
            return
        if self._buckets is not None:
            self._buckets.add(pick(timestamps, observed), changed)
            return
        if self._shares_timeline and observed is not None:
            self._leave_shared_timeline()
        if not self._shares_timeline:
            self._timeline.extend(pick(timestamps, observed))

    def share_timeline(self, timeline: Timeline) -> None:
        """Use a timeline that belongs to the event id, and has one time for each of this tracker's observations."""
        self._timeline, self._shares_timeline = timeline, True

    def leave_timeline(self) -> None:
        """Go on with an own timeline, because an observation is missed."""
        if self._shares_timeline:
            self._leave_shared_timeline()

    def read_after(self, fold: Callable[[], None]) -> None:
        """Call `fold` before anything is read, so that what waits elsewhere is taken in."""
        self._before_read = fold

    def accept(self, value: Any) -> None:
        """Let a value count as known, without an observation."""
        self._sync()
        self._known.accept(value)

    @property
    def classification(self) -> ClassificationMethods:
        """The tests that decide; setting others changes the verdicts from then on, not what is kept."""
        given = self.stability_classifier.classification
        if given is not None:
            return given
        by_count, by_time = self.segmentation != "time", self.segmentation != "count"
        thresholds = self.stability_classifier.segment_threshs
        return ClassificationMethods(index=by_count, time=by_time, segment_thresholds=thresholds)

    @classification.setter
    def classification(self, classification: ClassificationMethods | Mapping[str, Any] | None) -> None:
        self.stability_classifier = StabilityClassifier(classification=classification)

    @property
    def expand_value(self) -> bool:
        """Whether what is seen are characters, not values."""
        return self.add_value_fn == "CharsetDetector"

    @property
    def needs_timestamps(self) -> bool:
        """Whether a test reads the times of observations."""
        methods = self.stability_classifier.classification
        return self.segmentation != "count" if methods is None else methods.needs_timestamps

    @property
    def change_series(self) -> RLEList[bool]:
        """One entry per observation: whether it brought something never seen before."""
        self._sync()
        return self._changes

    @property
    def unique_set(self) -> set[Any]:
        """What has been seen: values, characters or the two ends of the range; up to `max_distinct` exactly."""
        self._sync()
        return self._known.alive()

    @property
    def distinct_count(self) -> int:
        """Number of distinct values seen; an estimate beyond `max_distinct`."""
        self._sync()
        return self._known.distinct_count()

    @property
    def timestamps(self) -> list[float]:
        """Times of observations, in seconds; empty when no test needs them."""
        self._sync()
        return self._timeline.stamps.tolist()

    @property
    def extra_state(self) -> dict[Any, Any]:
        """Free state of the value semantics; survives a save."""
        self._sync()
        return self._known.extra_state

    @extra_state.setter
    def extra_state(self, state: dict[Any, Any]) -> None:
        self._sync()
        self._known.extra_state = state

    def classify(self) -> Classification:
        """Return INSUFFICIENT_DATA, STATIC, RANDOM, STABLE or UNSTABLE, and the reason."""
        self._sync()
        count = len(self._changes)
        if count < self.min_samples:
            return Classification("INSUFFICIENT_DATA", f"Not enough data (have {count}, need {self.min_samples})")
        distinct_count = self._known.distinct_count()
        if distinct_count == 1:
            return Classification("STATIC", "Unique set size is 1")
        if self._known.are_all_distinct(count):
            return Classification("RANDOM", f"Unique set size equals number of samples ({count})")
        methods = self.stability_classifier.classification
        if methods is None:
            return self._classify_by_segmentation(count)
        if count < methods.segment_count:
            return _too_few(count, methods.segment_count)
        return self._classify_by_methods(methods)

    def to_state(self) -> dict[str, Any]:
        """Return everything that is kept, as plain values."""
        self._sync()
        methods = self.stability_classifier.classification
        return {
            "type": type(self).__name__,
            "module": SAVED_MODULE if type(self) is SingleStabilityTracker else type(self).__module__,
            "min_samples": self.min_samples,
            "segmentation": self.segmentation,
            "timestamps": self._timeline.stamps.tolist(),
            "add_value_fn": self.add_value_fn,
            "detector_config": _plain_config(self.detector_config),
            "runs": self._changes.runs(),
            "segment_thresholds": list(self.stability_classifier.segment_threshs),
            "classification": None if methods is None else methods.to_state(),
            "buckets": None if self._buckets is None else self._buckets.to_state(),
            **self._known.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "SingleStabilityTracker":
        """Return the tracker of a state; unknown entries are ignored, absent ones have their defaults.

        Raises:
            PersistencyLoadError: the state lacks what every tracker has, or holds what none can have.
        """
        try:
            made = cls(
                min_samples=state["min_samples"],
                segmentation=state.get("segmentation", "count"),
                add_value_fn=state.get("add_value_fn", "default"),
                expand_value=bool(state.get("expand_value")),
                detector_config=state.get("detector_config"),
                **_optional_arguments(state),
            )
            made._changes = RLEList.from_runs((bool(value), count) for value, count in state["runs"])
            made._timeline = Timeline(state.get("timestamps") or ())
            if state.get("buckets") is not None:
                made._buckets = TimeBuckets.from_state(state["buckets"])
            made._known.restore(state, made._changes.true_count())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise PersistencyLoadError(f"a stability tracker's state cannot be used: {error!r}") from error
        return made

    def revision(self) -> object | None:
        """Return something that differs whenever the state does, or `None` when only a dump can tell."""
        if self.add_value_fn != "default" or self._known.extra_state:
            return None
        return id(self), len(self._changes), len(self._timeline), self._known.accepted_count

    def merge(self, other: "SingleStabilityTracker") -> None:
        """Take another tracker's observations as if they had come after ours.

        Raises:
            PersistencyValueError: that cannot be done exactly; `why_not_mergeable` tells before.
        """
        reason = self.why_not_mergeable(other)
        if reason is not None:
            raise PersistencyValueError(reason)
        self.leave_timeline()
        changed = self._known.merge(other._known, other._changes)
        append_changes(self._changes, len(other._changes), changed)
        self._timeline.stamps.extend(other._timeline.stamps)

    def why_not_mergeable(self, other: SingleTracker) -> str | None:
        """Return why another tracker's observations cannot be added exactly, or `None` when they can."""
        self._sync()
        if not isinstance(other, SingleStabilityTracker):
            return f"a {type(other).__name__} cannot be merged into a stability tracker"
        other._sync()
        if self._buckets is not None or other._buckets is not None:
            return "trackers with time_buckets cannot be merged exactly"
        return self._known.why_not_mergeable(other._known, other._changes)

    def __repr__(self) -> str:
        verdict = self.classify()
        counts = f"observations={len(self._changes)}, changes={self._changes.true_count()}"
        return f"{type(self).__name__}({verdict.type}, {counts})"

    def _sync(self) -> None:
        if self._before_read is not None:
            self._before_read()

    def _times(self) -> Timestamps:
        return self._timeline.stamps if self._buckets is None else self._buckets

    def _leave_shared_timeline(self) -> None:
        self._timeline, self._shares_timeline = self._timeline.copy(), False

    def _classify_by_segmentation(self, count: int) -> Classification:
        classifier = self.stability_classifier
        if self.segmentation == "count":
            passed = classifier.is_stable(self._changes)
            return self._verdict(passed, _means_text(passed, classifier), count, by_count=True)
        stamps = self._times()
        if not are_usable(stamps, count):
            passed = classifier.is_stable(self._changes)
            return self._verdict(passed, _means_text(passed, classifier), count, by_count=True)
        if self.segmentation == "time":
            passed = classifier.is_stable(self._changes, stamps)
            return self._verdict(passed, _means_text(passed, classifier), count, by_count=False)
        by_count = classifier.is_stable(self._changes)
        reason = f"count {classifier.segment_means}: {_means_text(by_count, classifier)}"
        by_time = classifier.is_stable(self._changes, stamps)
        reason += f"; time {classifier.segment_means}: {_means_text(by_time, classifier)}"
        return self._verdict(by_count and by_time, reason, count, by_count=True)

    def _classify_by_methods(self, methods: ClassificationMethods) -> Classification:
        classifier = self.stability_classifier
        verdicts = classifier.verdicts(self._changes, self._times())
        verdict = "STABLE" if classifier.decide(verdicts) else "UNSTABLE"
        rule = f"decision={methods.decision} ({sum(verdicts.values())}/{len(verdicts)}) -> {verdict}"
        return Classification(verdict, "; ".join([*classifier.get_last_details().values(), rule]))

    def _verdict(self, passed: bool, reason: str, count: int, *, by_count: bool) -> Classification:
        segment_count = len(self.stability_classifier.segment_threshs)
        if passed and by_count and count < segment_count:
            # A segment without observations must not pass for being empty.
            return _too_few(count, segment_count)
        return Classification("STABLE" if passed else "UNSTABLE", reason)


class MultiStabilityTracker(MultiTracker):
    """Stability of all variables of one event id."""

    def get_features_by_classification(self, classification_type: str) -> list[str]:
        """Return the names of the variables with that verdict."""
        return [name for name, verdict in self.classify().items() if verdict.type == classification_type]

    # Its name before DetectMate 0.2.
    get_variables_by_classification = get_features_by_classification


class EventStabilityTracker(EventTracker):
    """The backend that follows the stability of each variable of an event id.

    The keyword-only arguments are those of `SingleStabilityTracker`.

    Raises:
        PersistencyValueError: an argument that cannot be used.
    """

    def __init__(
        self,
        converter_function: Callable[[Any], Any] = identity,
        segmentation: str = "count",
        add_value_fn: str = "default",
        detector_config: Any = None,
        **tracker_arguments: Any,
    ) -> None:
        arguments = {
            "segmentation": segmentation,
            "add_value_fn": add_value_fn,
            "detector_config": detector_config,
            **tracker_arguments,
        }
        template = SingleStabilityTracker(**arguments)
        self._shares_times = template.needs_timestamps and tracker_arguments.get("time_buckets") is None
        self._timeline = Timeline()
        super().__init__(lambda: self._made_tracker(arguments), MultiStabilityTracker, converter_function)

    def get_features_by_classification(self, classification_type: str) -> list[str]:
        """Return the names of the variables with that verdict."""
        self.fold()
        return [name for name, verdict in self.multi_tracker.classify().items() if verdict.type == classification_type]

    # Its name before DetectMate 0.2.
    get_variables_by_classification = get_features_by_classification

    def accept(self, variable: str, value: Any) -> None:
        """Let a value of a variable count as known, without an observation."""
        self.fold()
        self._stability_tracker(variable).accept(value)

    def why_not_mergeable(self, other: EventDataStructure) -> str | None:
        """Return why another backend's events cannot be added exactly, or `None` when they can."""
        if not isinstance(other, EventStabilityTracker):
            return f"a {type(other).__name__} cannot be merged into an EventStabilityTracker"
        own = self.get_data()
        for name, tracker in other.get_data().items():
            reason = self._stability_tracker(name).why_not_mergeable(tracker) if name in own else None
            if reason is not None:
                return f"variable {name!r}: {reason}"
        return None

    def merge(self, other: "EventStabilityTracker") -> None:
        """Take another backend's events as if they had come after ours; it must not be used afterwards.

        Raises:
            PersistencyValueError: that cannot be done exactly; nothing has changed.
        """
        reason = self.why_not_mergeable(other)
        if reason is not None:
            raise PersistencyValueError(reason)
        own = self.get_data()
        for name, tracker in other.get_data().items():
            if name in own:
                self._stability_tracker(name).merge(other._stability_tracker(name))
            else:
                other._stability_tracker(name).read_after(self.fold)
                other._stability_tracker(name).leave_timeline()
                own[name] = tracker
        for name in own:
            self._stability_tracker(name).leave_timeline()
        self._timeline = Timeline()

    def dump(self) -> bytes:
        """Return the trackers as msgpack; a timeline that several share is written once."""
        trackers = self.get_data()
        states = {name: tracker.to_state() for name, tracker in trackers.items()}
        for name, tracker in trackers.items():
            if isinstance(tracker, SingleStabilityTracker) and tracker._shares_timeline:
                states[name]["timestamps"] = None
        shared = self._timeline.stamps.tolist()
        return encode_value({"version": 1, "trackers": states, "shared_timestamps": shared})

    @classmethod
    def load(cls, data: bytes, **kwargs: Any) -> "EventStabilityTracker":
        """Return the backend of these bytes; variables first seen later are tracked as `kwargs` say.

        Raises:
            PersistencyLoadError: the bytes are torn, or made by a later version.
        """
        made = super().load(data, **kwargs)
        assert isinstance(made, EventStabilityTracker)
        content = decode_value(data)
        made._timeline = Timeline(content.get("shared_timestamps") or ())
        states = content.get("trackers", {})
        for name, tracker in made.multi_tracker.single_trackers.items():
            if isinstance(tracker, SingleStabilityTracker):
                tracker.read_after(made.fold)
                if states.get(name, {}).get("timestamps", ()) is None:
                    tracker.share_timeline(made._timeline)
        return made

    def _tracker_class(self) -> type[SingleTracker]:
        return SingleStabilityTracker

    def _made_tracker(self, arguments: Mapping[str, Any]) -> SingleStabilityTracker:
        tracker = SingleStabilityTracker(**arguments)
        tracker.read_after(self.fold)
        return tracker

    def _stability_tracker(self, name: str) -> SingleStabilityTracker:
        tracker = self.multi_tracker.tracker(name)
        assert isinstance(tracker, SingleStabilityTracker)
        return tracker

    def _fold_columns(self, layout: tuple[str, ...], columns: Columns, timestamps: RowTimes) -> None:
        known = self.multi_tracker.single_trackers
        starts = self._shares_times and not len(self._timeline)
        for name, values in zip(layout, columns, strict=True):
            is_new = name not in known
            tracker = self._stability_tracker(name)
            if is_new and starts:
                tracker.share_timeline(self._timeline)
            tracker.take(values, timestamps)
        if self._shares_times:
            self._extend_timeline(layout, timestamps)

    def _extend_timeline(self, layout: tuple[str, ...], timestamps: Iterable[float | None]) -> None:
        present = set(layout)
        for name in self.multi_tracker.single_trackers:
            if name not in present:
                self._stability_tracker(name).leave_timeline()
        self._timeline.extend(timestamps)


def _too_few(count: int, needed: int) -> Classification:
    return Classification("INSUFFICIENT_DATA", f"Not enough data for {needed} segments (have {count}, need {needed})")


def _means_text(passed: bool, classifier: StabilityClassifier) -> str:
    relation = "below" if passed else "not all below"
    return f"segment means {classifier.segment_means} are {relation} the thresholds {classifier.segment_threshs}"


def _optional_arguments(state: Mapping[str, Any]) -> dict[str, Any]:
    names = ("segment_thresholds", "classification", "max_distinct", "expire_after")
    given = {name: state[name] for name in names if state.get(name) is not None}
    if "classification" in given and "segment_thresholds" in given:
        # DetectMate 0.5.3 kept the thresholds beside the methods.
        given["classification"] = {"segment_thresholds": given["segment_thresholds"], **given["classification"]}
    return given


def _plain_config(config: Any) -> Any:
    if config is None or isinstance(config, Mapping):
        return None if config is None else dict(config)
    dump = getattr(config, "model_dump", None)
    return dump() if callable(dump) else {name: value for name, value in vars(config).items() if name[:1] != "_"}
