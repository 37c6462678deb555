"""All sinks that a job file may name, told apart by their `type`."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BeforeValidator, Field

from config.base import check_type
from config.broker_sinks import KafkaSinkSettings, NatsSinkSettings, RedisSinkSettings
from config.service_sinks import AlertmanagerSinkSettings, NotifySinkSettings, StdoutSinkSettings
from config.sinks import NdjsonSinkSettings, WebhookSinkSettings
from config.store_sinks import ParquetSinkSettings, SqlSinkSettings

SinkSettings: TypeAlias = (
    NdjsonSinkSettings
    | WebhookSinkSettings
    | StdoutSinkSettings
    | AlertmanagerSinkSettings
    | NotifySinkSettings
    | SqlSinkSettings
    | ParquetSinkSettings
    | KafkaSinkSettings
    | NatsSinkSettings
    | RedisSinkSettings
)

SINK_TYPES = tuple(kind.model_fields["type"].default for kind in get_args(SinkSettings))


def _with_sink_type(sink: Any) -> Any:
    # There were no other sinks once, and a type was not asked for.
    is_typed = not isinstance(sink, Mapping) or "type" in sink or "path" not in sink
    return check_type(sink if is_typed else {"type": "ndjson", **sink}, SINK_TYPES)


Sink = Annotated[Annotated[SinkSettings, Field(discriminator="type")], BeforeValidator(_with_sink_type)]
