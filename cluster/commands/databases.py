"""The command `db`: databases on disk, with or without a cluster that uses them."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cluster.commands.event_queries import (
    event_options,
    one_more,
    output_of,
    output_options,
    query_of,
    say_exported,
)
from cluster.commands.target import pass_home
from cluster.commands.terminal import now_us, say, say_lines, say_written, show
from cluster.local.home import Home

FINDINGS_SHOWN_MAX = 100
"""Findings that a check prints; JSON has all."""


@click.group()
def db() -> None:
    """Look after the database of a partition: its directory, or JOB/PARTITION."""


@db.command()
@click.argument("database")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_home
def stat(home: Home, /, database: str, as_json: bool) -> None:
    """Show what a database takes and holds, also while it is in use."""
    from cluster.local.databases import find_database, measure_database, show_database

    found = measure_database(find_database(home, database))
    show(json.dumps(found) if as_json else show_database(found))


@db.command()
@click.argument("database")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_home
def check(home: Home, /, database: str, as_json: bool) -> None:
    """Read everything in a database and name what is damaged; exit code 1 when something is."""
    from cluster.local.databases import check_database, find_database

    directory = find_database(home, database)
    found = check_database(directory)
    if as_json:
        show(json.dumps(asdict(found)))
    else:
        for one in found.findings[:FINDINGS_SHOWN_MAX]:
            show(f"{one.table}: {one.place}: {one.fault}")
        if len(found.findings) > FINDINGS_SHOWN_MAX:
            show(f"and {len(found.findings) - FINDINGS_SHOWN_MAX} more; --json prints all")
    say(
        f"{directory}: {found.entry_count} entries, {found.block_count} blocks and {found.event_count} events read, "
        f"{len(found.findings) or 'no'} faults"
    )
    if found.findings:
        sys.exit(1)


@db.command()
@click.argument("database")
@click.option("--to", "target", type=click.Path(path_type=Path), metavar="DIR", help="Leave it and write a copy there.")
@pass_home
def compact(home: Home, /, database: str, target: Path | None) -> None:
    """Give back the free space of a database that is not in use."""
    from actors.shard import ShardOwnedError
    from actors.shard.upkeep import compact_shard, copy_shard
    from cluster.errors import ClusterError
    from cluster.local.databases import find_database

    directory = find_database(home, database)
    if target is not None:
        copy_shard(directory, target)
        say(f"a compact copy of {directory} is in {target}; {directory} is as it was")
        return
    try:
        before, after = compact_shard(directory)
    except ShardOwnedError as error:
        raise ClusterError(
            f"{error}\nEnd its use first (`tocsin down` ends a cluster and keeps its data), or write a compact copy "
            "with --to DIR."
        ) from error
    say(f"{directory}: {before} bytes before, {after} after")


@db.command()
@click.argument("database")
@click.option("--to", "target", type=click.Path(path_type=Path), metavar="DIR", required=True, help="New directory.")
@pass_home
def copy(home: Home, /, database: str, target: Path) -> None:
    """Write a consistent copy of a database, also while it is in use."""
    from actors.shard.upkeep import copy_shard
    from cluster.local.databases import find_database

    directory = find_database(home, database)
    copy_shard(directory, target)
    say(f"{directory} as of its last commit is in {target}")


@db.command()
@click.argument("database")
@click.option("--anomalies", is_flag=True, help="Anomalies instead of events; --from and --to are ticks.")
@event_options
@output_options
@pass_home
def export(home: Home, /, database: str, anomalies: bool, **options: Any) -> None:
    """Write the events of a database, or its anomalies, also while it is in use: what is on disk."""
    from cluster.client.event_query import make_params
    from cluster.client.no_match import no_event
    from cluster.local.databases import database_events, find_database, first_events
    from cluster.show.event_export import export_events

    if anomalies:
        _export_anomalies(home, database, options)
        return
    output, wanted = output_of(options), query_of(options)
    params = make_params(one_more(wanted), now_us())
    directory = find_database(home, database)
    with database_events(directory, params) as events:
        exported = export_events(output, params, events, wanted.count_max)
    if not exported.count and wanted.after is None:
        say_lines(no_event(lambda params: first_events(directory, params), str(directory), wanted, now_us()))
    say_exported(exported, params, output)


def _export_anomalies(home: Home, database: str, options: dict[str, Any]) -> None:
    from actors.partition.anomalies import AnomalyFilter
    from cluster.client.typed_times import check_range
    from cluster.local.databases import database_anomalies, find_database
    from cluster.show.anomaly_export import export_stored_anomalies, read_cursor

    known = ("time_from", "time_to", "limit", "after", "order_by", "form", "as_json", "output", "force", "columns")
    others = sorted(f"--{name.replace('_', '-')}" for name, value in options.items() if value and name not in known)
    if others:
        raise click.UsageError(f"--anomalies go with --from, --to, --limit and --after; leave out {', '.join(others)}")
    output, limit = output_of(options), options["limit"] or None
    check_range(_ticks(options["time_from"]), _ticks(options["time_to"]))
    wanted = AnomalyFilter(
        time_from=_ticks(options["time_from"]),
        time_to=_ticks(options["time_to"]),
        after=None if options["after"] is None else read_cursor(options["after"]),
    )
    with database_anomalies(find_database(home, database), wanted) as found:
        exported = export_stored_anomalies(output, found, limit)
    say_written(output.path, exported.count, "anomalies")
    if exported.more_follows:
        say(f"more anomalies follow: --after {exported.next}")


def _ticks(text: str | None) -> int | None:
    from cluster.client.typed_times import read_whole

    number = None if text is None else read_whole(text)
    if text is not None and number is None:
        raise click.BadParameter(f"{text!r} is no number; a database does not know its time column, so give ticks")
    return number
