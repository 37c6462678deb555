"""The command `query events`, and the options that every query of stored events takes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.commands.target import Target, pass_target
from cluster.commands.terminal import limit_option, now_us, say, say_lines, say_written

if TYPE_CHECKING:
    from actors.store.query.planner import QueryParams
    from cluster.client.event_query import EventQuery
    from cluster.show.event_export import Exported
    from cluster.show.output import Output

Command = Callable[..., None]
"""A function that becomes a command."""

FORMS = ("table", "json", "csv", "parquet")
"""What a result can look like."""

_EVENT_OPTIONS = (
    click.option("--latest", is_flag=True, help="The newest event of each type, whatever its time."),
    click.option("--split", type=click.IntRange(min=0), help="All events of one split, in the order of their ids."),
    click.option(
        "--type", "patterns", multiple=True, metavar="A/B/*", help="Event types: parts by /, ? one part, * the rest."
    ),
    click.option("--from", "time_from", metavar="TIME", help="Earliest time: ISO, 15m or 2h ago, yesterday, ..."),
    click.option("--to", "time_to", metavar="TIME", help="Latest time, inclusive; a day means its end."),
    click.option("--source-from", metavar="TIME", help="Earliest time by the event's source."),
    click.option("--source-to", metavar="TIME", help="Latest time by the event's source, inclusive."),
    click.option("--id", "ids", multiple=True, metavar="SPLIT/SESSION/INSTANCE", help="Only these events."),
    click.option("--where", multiple=True, metavar="FIELD=VALUE", help="Field of the payload that equals a value."),
    click.option("--payload", metavar="JSON", help="Whole payload to equal."),
    click.option("--unique", is_flag=True, help="Only the first event of each type, in the order asked for."),
    click.option(
        "--order-by", type=click.Choice(["time", "source"]), default="time", show_default=True, help="Which time."
    ),
    click.option("--oldest", is_flag=True, help="Oldest first."),
    limit_option(100),
    click.option("--after", metavar="CURSOR", help="Go on where a page before has ended."),
)

_OUTPUT_OPTIONS = (
    click.option("--as", "form", type=click.Choice(FORMS), help="Form of the result (default: table, or by --output)."),
    click.option("--json", "as_json", is_flag=True, help="Short for --as json: a line of JSON for each."),
    click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write a file."),
    click.option("--force", is_flag=True, help="Replace a file that is there."),
    click.option("--columns", metavar="A,B", help="Only these columns, in this order."),
)


def _with_options(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def event_options(command: Command) -> Command:
    """Give a command the options of a query of stored events."""
    return _with_options(command, _EVENT_OPTIONS)


def output_options(command: Command) -> Command:
    """Give a command the options that say where results go and in which form."""
    return _with_options(command, _OUTPUT_OPTIONS)


def output_of(options: dict[str, Any]) -> "Output":
    """Return where the result goes, by the values of `output_options`."""
    from cluster.show.output import choose_output

    if options["as_json"] and options["form"] not in (None, "json"):
        raise click.UsageError(f"--json is --as json, and --as {options['form']} is something else; give one")
    form = "json" if options["as_json"] else options["form"]
    return choose_output(form, options["output"], may_overwrite=options["force"], columns=options["columns"])


def query_of(options: dict[str, Any]) -> "EventQuery":
    """Return what is asked, by the values of `event_options`."""
    from cluster.client.event_query import EventQuery

    return EventQuery(
        is_latest=options["latest"],
        split=options["split"],
        patterns=options["patterns"],
        time_from=options["time_from"],
        time_to=options["time_to"],
        source_from=options["source_from"],
        source_to=options["source_to"],
        ids=options["ids"],
        where=options["where"],
        payload=options["payload"],
        is_unique=options["unique"],
        order_by=options["order_by"],
        oldest_first=options["oldest"],
        count_max=options["limit"] or None,
        after=options["after"],
    )


def one_more(wanted: "EventQuery") -> "EventQuery":
    """Return a query for one event more, which shows whether more follow."""
    return replace(wanted, count_max=None if wanted.count_max is None else wanted.count_max + 1)


def say_exported(exported: "Exported", params: "QueryParams", output: "Output") -> None:
    """Tell how much was written, and how to go on; later events come before those of a descending order."""
    from actors.store import Order

    cursor = exported.cursor(params)
    say_written(output.path, exported.count, "events")
    if exported.more_follows and cursor is None:
        say("more events would have matched; raise --limit")
    elif exported.more_follows:
        say(f"more events follow: --after {cursor}")
    elif cursor is not None and getattr(params, "order", None) is not Order.DESCENDING:
        say(f"no more events for now; what comes later: --after {cursor}")


@click.command("events")
@click.argument("job")
@event_options
@output_options
@pass_target
def query_events(target: Target, /, job: str, **options: Any) -> None:
    """Print stored events of all partitions: by time, by id, or the latest of each type."""
    from cluster.client.event_query import check_stored, make_params
    from cluster.client.no_match import no_event
    from cluster.show.event_export import export_events

    output, wanted = output_of(options), query_of(options)
    params = make_params(one_more(wanted), now_us())
    client = target.client()
    settings = client.settings(job)
    check_stored(settings, params)
    exported = export_events(output, params, client.event_stream(job, params), wanted.count_max)
    if not exported.count and wanted.after is None:
        say_lines(no_event(lambda params: client.events(job, params).events, f"job {job!r}", wanted, now_us()))
    say_exported(exported, params, output)
