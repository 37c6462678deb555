"""The anomaly detection engine: metrics over columns and windows, per key. A library without Ray, LMDB or clock."""

from actors.engine.engine import AnomalyDetectionEngine, EngineStat
from actors.engine.errors import ArgumentError, EngineError, EngineSnapshotError, MetricError

__all__ = [
    "AnomalyDetectionEngine",
    "ArgumentError",
    "EngineError",
    "EngineSnapshotError",
    "EngineStat",
    "MetricError",
]
