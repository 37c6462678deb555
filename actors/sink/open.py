"""Opening the sinks of a job. The table at the end says which there are; a new one is registered there alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.allowed import EVERYTHING, AllowedPaths
from actors.errors import SinkError, SourceError
from actors.files import make_directory
from actors.secrets import SecretError, read_private, read_secret
from actors.sink.alertmanager import AlertmanagerSink
from actors.sink.choosing import Chooser
from actors.sink.kafka import KafkaSink
from actors.sink.nats_stream import NatsSink
from actors.sink.ndjson import NdjsonSink
from actors.sink.notify import NotifySink
from actors.sink.parquet import ParquetSink
from actors.sink.protocol import KeptSink, Notification, NotifyingSink, OpenEpisodes, Sink, SinkRecord
from actors.sink.redis_stream import RedisSink
from actors.sink.sql import SqlSink, open_engine
from actors.sink.stdout import StdoutSink
from actors.sink.webhook import WebhookSink
from actors.source.access import access_of
from actors.source.transport import kafka, nats_stream, redis_stream
from config.broker_sinks import KafkaSinkSettings, NatsSinkSettings, RedisSinkSettings
from config.secrets import is_secret
from config.service_sinks import AlertmanagerSinkSettings, NotifySinkSettings, StdoutSinkSettings
from config.settings import JobSettings
from config.sinks import NdjsonSinkSettings, SinkBase, SinkWhere, WebhookSinkSettings
from config.store_sinks import SQLITE, ParquetSinkSettings, SqlSinkSettings


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SinkPlaces:
    """What sinks need of where they run."""

    allowed: AllowedPaths = EVERYTHING
    """Which files may be touched."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables, among them secrets."""

    now_s: Callable[[], int] = lambda: 0
    """Seconds since 1970, for signatures and for what is done as time passes."""

    print_line: Callable[[str], None] | None = None
    """Prints a line on the standard output, which it has left when this returns; `None` where there is none."""


NOWHERE = SinkPlaces()
"""Sinks without secrets and clock."""


class ChosenSink:
    """A sink that is given what it takes of all that was raised; it is opened when something comes."""

    def __init__(self, settings: SinkBase, job: JobSettings, places: SinkPlaces) -> None:
        self._settings = settings
        self._job = job
        self._places = places
        self._takes_anomalies, self._takes_episodes = job.sink_takes(settings)
        self._is_choosy = not (self._takes_anomalies and self._takes_episodes) or settings.where != SinkWhere()
        self._chooser = Chooser(job, settings.where)
        self._inhibiting = job.inhibiting_types if job.follows_policy(settings) else frozenset()
        self._sink: Sink | None = None

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Have the sink take those that it wants, durable when it returns.

        Raises:
            SinkError: it does not take them, or cannot be opened; `taken_count` of all that were given are done with.
        """
        chosen = [number for number, one in enumerate(anomalies) if self._wants(one)] if self._is_choosy else None
        wanted = anomalies if chosen is None else [anomalies[number] for number in chosen]
        if not wanted:
            return
        try:
            self._opened().write(wanted)
        except SinkError as error:
            if chosen is not None:
                # What lies between those that were taken and the next one is not wanted.
                error.taken_count = chosen[error.taken_count] if error.taken_count < len(chosen) else len(anomalies)
            raise

    def parts(self, anomalies: Sequence[SinkRecord]) -> Iterator[Sequence[SinkRecord]]:
        """Give anomalies in parts after each of which it is to be marked that the sink has them; not all, perhaps."""
        mark_count, left = self._settings.mark_count, self._settings.turn_count
        start = wanted = 0
        for end, one in enumerate(anomalies, 1):
            if not (self._is_choosy and not self._wants(one)):
                wanted, left = wanted + 1, left - 1
            if wanted == mark_count or not left or end == len(anomalies):
                yield anomalies[start:end]
                start, wanted = end, 0
            if not left:
                return

    @property
    def mark_count(self) -> int:
        """Records, or notifications, after which it is to be marked that the sink has them."""
        return self._settings.mark_count

    def concerns(self, one: SinkRecord) -> bool:
        """Return whether a notice is kept for the sink: it wants it, or it inhibits what it wants."""
        return one.is_episode and (self._job.episode_type(one.type) in self._inhibiting or self._wants(one))

    def notify(self, notification: Notification) -> None:
        """Have the sink send a notification.

        Raises:
            SinkError: it cannot be sent, or the sink cannot be opened.
        """
        sink = self._opened()
        assert isinstance(sink, NotifyingSink), "only such sinks follow a policy"
        sink.notify(notification)

    def keep(self, open_episodes: OpenEpisodes) -> None:
        """Have the sink do what is due, if it is one that has anything to do as time passes.

        Raises:
            SinkError: it cannot be done now, or the sink cannot be opened.
        """
        if not self._settings.is_kept or not isinstance(sink := self._opened(), KeptSink):
            return
        sink.keep(lambda: [one for one in open_episodes() if self._wants(one)])

    def close(self) -> None:
        """Close the sink; a second call does nothing."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _opened(self) -> Sink:
        if self._sink is None:
            self._sink = SINKS[type(self._settings)](self._settings, self._job, self._places)
        return self._sink

    def _wants(self, one: SinkRecord) -> bool:
        if not (self._takes_episodes if one.is_episode else self._takes_anomalies):
            return False
        return self._chooser.takes(one)


def open_sinks(job: JobSettings, places: SinkPlaces = NOWHERE) -> list[Sink]:
    """Return the sinks that a job names, in their order; each is opened by what comes first."""
    return [ChosenSink(settings, job, places) for settings in job.sinks]


def _open_ndjson(settings: NdjsonSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    return NdjsonSink(Path(settings.path), job, places.allowed)


def _open_webhook(settings: WebhookSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    with _said_of(settings):
        headers = _headers(settings, places)
        key = None if settings.secret is None else _secret("secret", settings.secret, places).encode()
    return WebhookSink(settings, job, headers, key, places.now_s)


def _open_stdout(settings: StdoutSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    return StdoutSink(settings, job, places.print_line)


def _open_alertmanager(settings: AlertmanagerSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    with _said_of(settings):
        headers = _headers(settings, places)
    return AlertmanagerSink(settings, job, headers, places.now_s)


def _open_notify(settings: NotifySinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    with _said_of(settings):
        return NotifySink(settings, job, _secret("url", settings.url, places))


def _open_sql(settings: SqlSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    with _said_of(settings):
        url = _secret("url", settings.url, places) if is_secret(settings.url) else settings.url
        access = access_of(settings, places.allowed, places.environment, has_tls=True)
    if url.startswith("sqlite:"):
        path = url.removeprefix(SQLITE)
        refusal = places.allowed.refusal(path)
        if not url.startswith(SQLITE) or "?" in path or refusal is not None:
            reason = refusal or "the address is no file of SQLite; it is like sqlite:////var/lib/alarms.db"
            raise SinkError(f"sink {settings.identity}: {reason}. What comes waits meanwhile")
        try:
            make_directory(Path(path).parent)
        except OSError as error:
            reason = f"{error.filename or path} cannot be made: {error.strerror or error}"
            raise SinkError(f"sink {settings.identity}: {reason}. What comes waits meanwhile") from error
    return SqlSink(settings, job, open_engine(url, settings, access.secrets.get("password"), access.tls))


def _open_parquet(settings: ParquetSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    return ParquetSink(settings, job, places.now_s, places.allowed)


def _open_kafka(settings: KafkaSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    with _said_of(settings):
        access = access_of(settings, places.allowed, places.environment, has_tls=False)
    connection = kafka.connection_settings(settings.brokers, settings.security, access.secrets.get("password"))
    return KafkaSink(settings, job, connection)


def _open_nats(settings: NatsSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    with _said_of(settings):
        access = access_of(settings, places.allowed, places.environment, has_tls=True)
        connection = nats_stream.connection_settings(settings.servers, settings.security, access.secrets, access.tls)
    return NatsSink(settings, job, connection)


def _open_redis(settings: RedisSinkSettings, job: JobSettings, places: SinkPlaces) -> Sink:
    with _said_of(settings):
        access = access_of(settings, places.allowed, places.environment, has_tls=False)
        client = redis_stream.open_client(
            settings.url, settings.security, access.secrets.get("password"), settings.timeout
        )
    return RedisSink(settings, job, client)


@contextmanager
def _said_of(settings: SinkBase) -> Iterator[None]:
    """Say of which sink it is that a secret or a file is missing."""
    try:
        yield
    except (SecretError, SourceError) as error:
        raise SinkError(f"sink {settings.identity}: {error}. What comes waits meanwhile") from error


def _secret(name: str, reference: str, places: SinkPlaces) -> str:
    return read_secret(f"`{name}`", reference, places.allowed, places.environment)


def _headers(settings: WebhookSinkSettings | AlertmanagerSinkSettings, places: SinkPlaces) -> dict[str, str]:
    """Return the headers of requests, with the secrets themselves, and look whether the file of `ca` may be read."""
    if settings.ca is not None:
        read_private(settings.ca, "the file of `ca`", places.allowed)
    return {
        name: _secret(f"headers.{name}", value, places) if is_secret(value) else value
        for name, value in settings.headers.items()
    }


SINKS: Mapping[type[Any], Callable[[Any, JobSettings, SinkPlaces], Sink]] = {
    NdjsonSinkSettings: _open_ndjson,
    WebhookSinkSettings: _open_webhook,
    StdoutSinkSettings: _open_stdout,
    AlertmanagerSinkSettings: _open_alertmanager,
    NotifySinkSettings: _open_notify,
    SqlSinkSettings: _open_sql,
    ParquetSinkSettings: _open_parquet,
    KafkaSinkSettings: _open_kafka,
    NatsSinkSettings: _open_nats,
    RedisSinkSettings: _open_redis,
}
"""Settings of a sink -> what opens it."""
