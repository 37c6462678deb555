"""Tocsin's public names in one place, imported when they are first used: `import tocsin` itself loads nothing.

The libraries by themselves (`AnomalyDetectionEngine`, `EventStore`, `EventPersistency`, detectors), job files
(`read_job`, `run`) and the client of a cluster (`Client`). What is not named here lives in the packages `actors`,
`config`, `cluster` and `raft`.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actors.detectors import Detector as Detector
    from actors.detectors import LearnPhase as LearnPhase
    from actors.detectors import make_detector as make_detector
    from actors.engine import AnomalyDetectionEngine as AnomalyDetectionEngine
    from actors.engine import EngineError as EngineError
    from actors.engine import EngineSpec as EngineSpec
    from actors.engine import LifecycleSettings as LifecycleSettings
    from actors.engine import MetricError as MetricError
    from actors.engine import StreamTable as StreamTable
    from actors.engine import create_anomaly_detection_engine as create_anomaly_detection_engine
    from actors.engine import subscribe_table as subscribe_table
    from actors.errors import TocsinError as TocsinError
    from actors.model import AnomalyId as AnomalyId
    from actors.model import Schema as Schema
    from actors.partition.anomalies import Anomaly as Anomaly
    from actors.partition.anomalies import AnomalyFilter as AnomalyFilter
    from actors.persistency import EventPersistency as EventPersistency
    from actors.persistency import EventStabilityTracker as EventStabilityTracker
    from actors.persistency import PersistencySaver as PersistencySaver
    from actors.store import BinaryPayload as BinaryPayload
    from actors.store import Event as Event
    from actors.store import EventId as EventId
    from actors.store import EventStore as EventStore
    from actors.store import JsonPayload as JsonPayload
    from actors.store import Order as Order
    from actors.store import OrderBy as OrderBy
    from actors.store import QueryLatestParams as QueryLatestParams
    from actors.store import QueryServerParams as QueryServerParams
    from actors.store import QueryTimeseriesParams as QueryTimeseriesParams
    from actors.store import StoreConfig as StoreConfig
    from actors.store import Timestamp as Timestamp
    from cluster.client.access import Access as Access
    from cluster.client.client import Client as Client
    from cluster.local.home import Home as Home
    from cluster.local.running import run as run
    from config import ConfigError as ConfigError
    from config import JobSettings as JobSettings
    from config import make_job as make_job
    from config import parse_job as parse_job
    from config.load import load_job as read_job  # noqa: F401  a name for others
    from raft.errors import RaftError as RaftError
    from raft.group import GroupState as GroupState
    from raft.group import JobStatus as JobStatus

    __version__: str

# What type checkers read above, once more for Python.
_NAMES = {
    "actors.detectors": "Detector LearnPhase make_detector",
    "actors.engine": "AnomalyDetectionEngine EngineError EngineSpec LifecycleSettings MetricError StreamTable "
    "create_anomaly_detection_engine subscribe_table",
    "actors.errors": "TocsinError",
    "actors.model": "AnomalyId Schema",
    "actors.partition.anomalies": "Anomaly AnomalyFilter",
    "actors.persistency": "EventPersistency EventStabilityTracker PersistencySaver",
    "actors.store": "BinaryPayload Event EventId EventStore JsonPayload Order OrderBy QueryLatestParams "
    "QueryServerParams QueryTimeseriesParams StoreConfig Timestamp",
    "cluster.client.access": "Access",
    "cluster.client.client": "Client",
    "cluster.local.home": "Home",
    "cluster.local.running": "run",
    "config": "ConfigError JobSettings make_job parse_job",
    "config.load": "load_job:read_job",
    "raft.errors": "RaftError",
    "raft.group": "GroupState JobStatus",
}
_PLACES = {
    pair.rpartition(":")[2]: (module, pair.partition(":")[0])
    for module, pairs in _NAMES.items()
    for pair in pairs.split()
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("tocsin")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
