"""The commands `query` (anomalies, events and dead letters of a job) and `explain`."""

import json
from dataclasses import asdict
from typing import Any

import click

from cluster.commands.episodes import query_episodes, query_late
from cluster.commands.event_queries import output_of, output_options, query_events
from cluster.commands.keys import asked_key
from cluster.commands.target import Target, pass_target
from cluster.commands.terminal import limit_option, limited, now_us, say, say_lines, say_written, show

PAGE_MAX = 4096
"""Anomalies up to which one answer of every partition is enough."""


@click.group()
def query() -> None:
    """Ask for anomalies, episodes, events, dead letters or late rows of a job."""


@query.command("anomalies")
@click.argument("job")
@click.option("--from", "time_from", metavar="TIME", help="Earliest time: ISO, 15m or 2h ago, ticks.")
@click.option("--to", "time_to", metavar="TIME", help="Latest time, inclusive; a day means its end.")
@click.option("--key", "key", multiple=True, help="Value of a key column; once for each, in order.")
@click.option("--type", "kind", type=int, help="Position of the metric or detector.")
@limit_option(100)
@click.option("--after", metavar="CURSOR", help="Go on where a page before has ended.")
@click.option("--newest", is_flag=True, help="Newest first, by time.")
@click.option("--wide", is_flag=True, help="Show split, offset, ordinal and detail too.")
@output_options
@pass_target
def query_anomalies(target: Target, /, job: str, key: tuple[str, ...], kind: int | None, **options: Any) -> None:
    """Print anomalies in the order of the rows that raised them, or newest first."""
    from actors.partition.anomalies import AnomalyFilter
    from cluster.client.typed_times import check_range
    from cluster.show.anomaly_export import export_anomalies, read_cursor, read_newest_cursor
    from cluster.show.present import parse_time

    output = output_of(options)
    client = target.client()
    form = client.form(job)
    asked = asked_key(form, key, kind)
    now, after, newest = now_us(), options["after"], options["newest"]
    first = parse_time(form, options["time_from"], now)
    last = parse_time(form, options["time_to"], now, is_end=True)
    check_range(first, last)
    wanted = AnomalyFilter(
        time_from=first,
        time_to=last,
        key=asked,
        type=kind,
        after=None if after is None or newest else read_cursor(after),
        older_than=None if after is None or not newest else read_newest_cursor(after),
    )
    limit = options["limit"] or None
    if limit is not None and limit < PAGE_MAX:
        found = iter(client.anomalies(job, wanted, limit + 1, newest_first=newest))
    else:
        found = client.anomaly_stream(job, wanted, newest_first=newest)
    exported = export_anomalies(output, form, found, limit, is_wide=options["wide"], newest_first=newest)
    if not exported.count and after is None:
        from cluster.client.no_match import no_anomaly

        say_lines(no_anomaly(client, form, wanted))
    say_written(output.path, exported.count, "anomalies")
    if exported.more_follows:
        say(f"more anomalies follow: --after {exported.next}")


@query.command("dead-letters")
@click.argument("job")
@limit_option(100)
@output_options
@pass_target
def query_dead_letters(target: Target, /, job: str, limit: int, **options: Any) -> None:
    """Print input records that could not become rows, with the reason."""
    from cluster.show.frame_output import dead_letter_frame, write_frames

    output = output_of(options)
    client = target.client()
    found = limited(lambda count: client.dead_letters(job, count), limit, "dead letters")
    frame = dead_letter_frame(found, is_cut=output.form.value == "table")
    write_frames(output, frame.schema, [frame])
    say_written(output.path, frame.height, "dead letters")


@click.command()
@click.argument("job")
@click.argument("anomaly", metavar="SPLIT/OFFSET/ORDINAL")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_target
def explain(target: Target, job: str, anomaly: str, as_json: bool) -> None:
    """Say why an anomaly was raised: its window, and the values of the parts of its metric."""
    from actors.partition.anomalies import AnomalyFilter
    from cluster.show.anomaly_export import read_cursor
    from cluster.show.episodes import before, explained, show_explained

    place, client = read_cursor(anomaly), target.client()
    found = client.anomalies(job, AnomalyFilter(after=before(place)), 1)
    one = explained(client.settings(job), place, found)
    show(json.dumps(asdict(one), ensure_ascii=False) if as_json else show_explained(one))


query.add_command(query_events)
query.add_command(query_episodes)
query.add_command(query_late)
