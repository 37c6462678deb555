"""Commands on silences: `silence add`, `silence list` and `silence expire`."""

import getpass

import click

from cluster.commands.target import Target, pass_target
from cluster.commands.terminal import now_us, show


@click.group()
def silence() -> None:
    """Have nobody told of some episodes for a while."""


@silence.command("add")
@click.argument("job", required=False)
@click.option(
    "--key", "keys", multiple=True, metavar="COLUMN=PATTERN", help="Value of a key column, such as host=web-*."
)
@click.option("--metric", "metrics", multiple=True, help="Pattern of the metric's id, or of its text.")
@click.option("--severity", "severities", multiple=True, help="Severity; once for each that is meant.")
@click.option("--label", "labels", multiple=True, metavar="NAME=PATTERN", help="Value of a label.")
@click.option("--for", "lasts", help="How long, such as 2h.")
@click.option("--until", help="Until when, such as 2026-01-31T12:00:00, in UTC unless it says otherwise.")
@click.option("--who", help="Who wants it (default: your name on this machine).")
@click.option("--why", default="", help="Why, for others.")
@pass_target
def add(
    target: Target,
    job: str | None,
    keys: tuple[str, ...],
    metrics: tuple[str, ...],
    severities: tuple[str, ...],
    labels: tuple[str, ...],
    lasts: str | None,
    until: str | None,
    who: str | None,
    why: str,
) -> None:
    """Silence episodes of JOB (a name or pattern; default: of all jobs) that fit all that is given; print the id."""
    from cluster.client.silences import check_fits, typed_silence

    wanted = typed_silence(
        job=job,
        metrics=metrics,
        severities=severities,
        keys=keys,
        labels=labels,
        lasts=lasts,
        until=until,
        who=who or _user(),
        why=why,
    )
    client = target.client()
    if job is not None and not any(sign in job for sign in "*?["):
        # What was mistyped would silence nothing.
        check_fits(client.settings(job), wanted)
    show(client.add_silence(wanted))


@silence.command("list")
@click.option("--all", "are_all", is_flag=True, help="Those too that are over, for a day.")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@pass_target
def list_silences(target: Target, are_all: bool, as_json: bool) -> None:
    """Print the silences that hold, and until when."""
    from cluster.client.silences import show_silences, silence_records

    now = now_us()
    records = silence_records(target.client().silences(), now, are_all=are_all)
    show(show_silences(records, now, as_json=as_json))


@silence.command("expire")
@click.argument("silence_id")
@pass_target
def expire(target: Target, silence_id: str) -> None:
    """Let a silence end now; SILENCE_ID may be shortened."""
    click.echo(f"{target.client().expire_silence(silence_id)} is over")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
