"""The command `query`: anomalies, events and dead letters of a job."""

from collections.abc import Callable
from typing import Any

import click

from cluster.commands.terminal import client_of, show
from cluster.home import Home


@click.group()
def query() -> None:
    """Ask for anomalies, events or dead letters of a job."""


@query.command("anomalies")
@click.argument("job")
@click.option("--from", "time_from", metavar="TIME", help="Earliest time, inclusive: ISO text or ticks.")
@click.option("--to", "time_to", metavar="TIME", help="Latest time, inclusive: ISO text or ticks.")
@click.option("--key", "key", multiple=True, help="Value of a key column; once for each, in order.")
@click.option("--type", "kind", type=int, help="Position of the metric or detector.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@click.option("--newest", is_flag=True, help="Newest first, by offset.")
@click.option("--wide", is_flag=True, help="Show split, offset, ordinal and detail too.")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@click.pass_obj
def query_anomalies(
    home: Home,
    job: str,
    time_from: str | None,
    time_to: str | None,
    key: tuple[str, ...],
    kind: int | None,
    limit: int,
    newest: bool,
    wide: bool,
    as_json: bool,
) -> None:
    """Print anomalies in the order of the rows that raised them."""
    from actors.anomalies import AnomalyFilter
    from cluster.present import parse_time, show_anomalies

    client = client_of(home)
    settings = client.settings(job)
    if key and len(key) != len(settings.key_columns):
        names = ", ".join(settings.key_columns) or "none"
        raise click.BadParameter(f"{len(key)} values of --key, but the key columns are: {names}; give one for each")
    wanted = AnomalyFilter(
        time_from=_time(parse_time, settings, time_from),
        time_to=_time(parse_time, settings, time_to),
        key=key or None,
        type=kind,
    )
    client.open_for_queries(job)
    found = client.anomalies(job, wanted, limit, newest_first=newest)
    show(show_anomalies(settings, found, as_json=as_json, is_wide=wide))


def _time(parse: Callable[..., int | None], settings: Any, text: str | None) -> int | None:
    try:
        return parse(settings, text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time: {error}") from None


@query.command("dead-letters")
@click.argument("job")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@click.pass_obj
def query_dead_letters(home: Home, job: str, limit: int, as_json: bool) -> None:
    """Print input records that could not become rows, with the reason."""
    from cluster.present import show_dead_letters

    client = client_of(home)
    client.open_for_queries(job)
    show(show_dead_letters(client.dead_letters(job, limit), as_json=as_json))


@query.command("events")
@click.argument("job")
@click.option("--latest", is_flag=True, help="The newest event of each type.")
@click.option(
    "--type", "patterns", multiple=True, metavar="A/B/*", help="Event types: parts by /, ? one part, * the rest."
)
@click.option("--from", "time_from", metavar="TIME", help="Earliest time, inclusive: ISO text or microseconds.")
@click.option("--to", "time_to", metavar="TIME", help="Latest time, inclusive: ISO text or microseconds.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="At most so many.")
@click.option("--oldest", is_flag=True, help="Oldest first.")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@click.pass_obj
def query_events(
    home: Home,
    job: str,
    latest: bool,
    patterns: tuple[str, ...],
    time_from: str | None,
    time_to: str | None,
    limit: int,
    oldest: bool,
    as_json: bool,
) -> None:
    """Print stored events: the latest of each type, or a range of time."""
    from cluster.event_query import EventQuery, query_stored_events, show_events

    if latest and (time_from or time_to):
        raise click.UsageError(
            "--latest is the newest event of each type, whatever its time; leave out --from and --to"
        )
    wanted = EventQuery(
        is_latest=latest, patterns=patterns, time_from=time_from, time_to=time_to, count_max=limit, oldest_first=oldest
    )
    client = client_of(home)
    client.open_for_queries(job)
    show(show_events(query_stored_events(client, job, wanted), as_json=as_json))
