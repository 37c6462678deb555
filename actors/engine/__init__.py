"""The anomaly detection engine: metrics over columns and windows, per key. A library without Ray, LMDB or clock."""

from typing import TYPE_CHECKING

from actors.lazy_names import lazy_names

if TYPE_CHECKING:
    from actors.engine.engine import AnomalyDetectionEngine
    from actors.engine.episodes.episode import LifecycleSettings
    from actors.engine.errors import (
        ArgumentError,
        ConcurrencyError,
        EngineError,
        EngineSchemaError,
        EngineSnapshotError,
        MetricError,
    )
    from actors.engine.report.explain import Explanation
    from actors.engine.report.stat import EngineStat
    from actors.engine.spec import EngineSpec
    from actors.engine.streaming import (
        StreamTable,
        create_anomaly_detection_engine,
        drop_stream_engine,
        subscribe_table,
    )
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "actors.engine.engine": "AnomalyDetectionEngine",
            "actors.engine.episodes.episode": "LifecycleSettings",
            "actors.engine.errors": "ArgumentError ConcurrencyError EngineError "
            "EngineSchemaError EngineSnapshotError MetricError",
            "actors.engine.report.explain": "Explanation",
            "actors.engine.report.stat": "EngineStat",
            "actors.engine.spec": "EngineSpec",
            "actors.engine.streaming": "StreamTable create_anomaly_detection_engine drop_stream_engine subscribe_table",
        },
    )

__all__ = [
    "AnomalyDetectionEngine",
    "ArgumentError",
    "ConcurrencyError",
    "EngineError",
    "EngineSchemaError",
    "EngineSnapshotError",
    "EngineSpec",
    "EngineStat",
    "Explanation",
    "LifecycleSettings",
    "MetricError",
    "StreamTable",
    "create_anomaly_detection_engine",
    "drop_stream_engine",
    "subscribe_table",
]
