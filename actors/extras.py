"""Packages that only some jobs need: what they are for, which extra of Tocsin installs them, and whether they are here.

They are imported where they are used, after a call of `need`, which says of one that is missing how to get it;
`tocsin check` says it beforehand of all that a job needs, by `missing_extra`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from actors.errors import TocsinError


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """One extra of Tocsin."""

    what: str
    """What needs it, for people."""

    packages: tuple[str, ...]
    """Names by which its packages are installed."""

    modules: tuple[tuple[str, ...], ...]
    """Modules that are imported; of several for the same thing, the first one that is there will do."""


EXTRAS: Mapping[str, Extra] = {
    "avro": Extra(what="Avro", packages=("fastavro",), modules=(("fastavro",),)),
    "drain": Extra(what="finding templates", packages=("drain3",), modules=(("drain3.drain",),)),
    "gs": Extra(what="Google Cloud Storage (gs://)", packages=("gcsfs",), modules=(("gcsfs",),)),
    "kafka": Extra(what="Kafka", packages=("confluent-kafka",), modules=(("confluent_kafka",),)),
    "mqtt": Extra(what="MQTT", packages=("paho-mqtt",), modules=(("paho.mqtt.client",),)),
    "nats": Extra(what="NATS", packages=("nats-py",), modules=(("nats",),)),
    "notify": Extra(what="sending notifications", packages=("apprise",), modules=(("apprise",),)),
    "redis": Extra(what="Redis", packages=("redis",), modules=(("redis",),)),
    "s3": Extra(what="S3 (s3://)", packages=("s3fs",), modules=(("s3fs",),)),
    "sql": Extra(what="a database", packages=("sqlalchemy", "pg8000"), modules=(("sqlalchemy",), ("pg8000",))),
    "zstd": Extra(
        what="reading files that are compressed by zstd",
        packages=("backports.zstd",),
        modules=(("compression.zstd", "backports.zstd"),),
    ),
}
"""The extras by their names."""


def need(name: str, fail: Callable[[str], TocsinError]) -> tuple[Any, ...]:
    """Return the modules of an extra, imported; a package that is not installed is an error that `fail` makes."""
    found = []
    for modules in EXTRAS[name].modules:
        module = _first_of(modules)
        if isinstance(module, ImportError):
            raise fail(_how_to_get(name)) from module
        found.append(module)
    return tuple(found)


def missing_extra(name: str) -> str | None:
    """Return what is to be said of an extra that is not installed, `None` when it is."""
    are_here = all(any(map(_is_here, modules)) for modules in EXTRAS[name].modules)
    return None if are_here else _how_to_get(name)


def _first_of(modules: tuple[str, ...]) -> Any:
    """Return the first of some modules that is there, or why none is."""
    error = ImportError("no module is named")
    for module in modules:
        try:
            return import_module(module)
        except ImportError as cause:
            error = cause
    return error


def _is_here(module: str) -> bool:
    """Return whether a module can be found; to import it may take seconds."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _how_to_get(name: str) -> str:
    extra = EXTRAS[name]
    is_one = len(extra.packages) == 1
    verb = "package {}, which is" if is_one else "packages {}, which are"
    packages = verb.format(" and ".join(extra.packages))
    return f"{extra.what} needs the {packages} not installed here: pip install 'tocsin[{name}]'"
