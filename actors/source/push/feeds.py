"""What fills the journals of push sources: one feed for each kind, running in threads of its own."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import xxhash

from actors.errors import SourceError
from actors.source.open import open_text_format, stream_limits
from actors.source.push.journal import PushJournal
from actors.source.push.keeper import Keeper
from actors.source.surroundings import FeedPlaces
from actors.stream.table import DurableStreamTable
from config.push import HttpSource, JournaldSource, MqttSource, SyslogSource
from config.settings import JobSettings


class Feed(Protocol):
    """Receives, and keeps what it has received, until it is closed."""

    def close(self) -> None:
        """Receive no more; what was acknowledged is kept. The table stays open."""
        ...


def open_feed(job: JobSettings, table: DurableStreamTable, places: FeedPlaces) -> Feed:
    """Begin to fill the stream table of a job whose source others push into.

    Raises:
        SourceError: the source is no such, a secret or a client is missing, or an address cannot be taken.
    """
    opens = FEEDS.get(type(job.source))
    if opens is None:
        raise SourceError(f"job {job.name!r} reads {job.source.type}, which nobody pushes; nothing feeds it")
    return opens(job, table, places)


def _open_mqtt(job: JobSettings, table: DurableStreamTable, places: FeedPlaces) -> Feed:
    source = job.source
    assert isinstance(source, MqttSource)
    from actors.source.access import broker_access
    from actors.source.push.mqtt import RECEIVE_MAX, MqttFeed, import_client

    import_client()
    # The URL says that too.
    security = source.security.model_copy(update={"tls": source.is_tls})
    access = broker_access(source.model_copy(update={"security": security}), places.allowed, places.environment)
    keeper = Keeper(PushJournal(table, stream_limits(job), RECEIVE_MAX), must_keep=True)
    # A session of other topics is another one, whose filters would stay those of before.
    topics = xxhash.xxh3_64_hexdigest("\0".join(sorted(source.topics)).encode())[:8]
    client_id = source.client_id or f"tocsin-{job.name}-{topics}"
    return MqttFeed(source, client_id, access, keeper, places.now_us, places.random)


def _open_http(job: JobSettings, table: DurableStreamTable, places: FeedPlaces) -> Feed:
    source = job.source
    assert isinstance(source, HttpSource)
    from actors.source.access import listen_access
    from actors.source.push.bodies import BodyCutter
    from actors.source.push.http import KEYS_MAX, HttpFeed

    access = listen_access(source, places.allowed, places.environment)
    form = open_text_format(job, source.format)
    keeper = Keeper(PushJournal(table, stream_limits(job), KEYS_MAX), must_keep=False)
    try:
        return HttpFeed(source, access, BodyCutter(source.format, form, table.name), keeper, places.now_us)
    except BaseException:
        keeper.close()
        raise


def _open_syslog(job: JobSettings, table: DurableStreamTable, places: FeedPlaces) -> Feed:
    source = job.source
    assert isinstance(source, SyslogSource)
    from actors.source.access import listen_access
    from actors.source.push.syslog import SyslogFeed

    access = listen_access(source, places.allowed, places.environment)
    keeper = Keeper(PushJournal(table, stream_limits(job), 1), must_keep=True)
    try:
        return SyslogFeed(source, access, keeper, places.now_us, source.format.record_size_bytes_max)
    except BaseException:
        keeper.close()
        raise


def _open_journald(job: JobSettings, table: DurableStreamTable, places: FeedPlaces) -> Feed:
    source = job.source
    assert isinstance(source, JournaldSource)
    from actors.source.push.journald import JournaldFeed, follow_command

    if source.directory is not None and (refusal := places.allowed.refusal(source.directory)) is not None:
        raise SourceError(refusal)
    journal = PushJournal(table, stream_limits(job), 1)
    keeper = Keeper(journal, must_keep=True)
    return JournaldFeed(
        follow_command(source.directory, source.units), source.start, journal, keeper, places.now_us, places.random
    )


FEEDS: Mapping[type[Any], Callable[[JobSettings, DurableStreamTable, FeedPlaces], Feed]] = {
    MqttSource: _open_mqtt,
    HttpSource: _open_http,
    SyslogSource: _open_syslog,
    JournaldSource: _open_journald,
}
"""Settings of a push source -> what begins to receive."""
