"""The command `learn`: what a job has learned, values that are usual after all, and templates for logs."""

import sys
from pathlib import Path
from typing import Any

import click

from cluster.commands.target import Target, pass_target
from cluster.commands.terminal import now_us, say, show


@click.group()
def learn() -> None:
    """Look at what jobs have learned, correct it, and find templates of logs."""


@learn.command("status")
@click.argument("job")
@click.option("--directory", type=click.Path(path_type=Path), help="JOB is a job file, run in this directory.")
@click.option("--wide", is_flag=True, help="Show the reason of each verdict too.")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@pass_target
def learn_status(target: Target, job: str, directory: Path | None, wide: bool, as_json: bool) -> None:
    """Print how each variable of each event behaves, as far as `stability` detectors follow it."""
    from cluster.client.learning import follows_variables, read_directory, show_verdicts

    if directory is not None:
        settings = _load(job)
        verdicts = read_directory(settings, directory)
    else:
        client = target.client()
        settings = client.settings(job)
        verdicts = client.verdicts(job)
    if not follows_variables(settings):
        raise click.ClickException(
            f"job {settings.name!r} has no detector of type `stability`; no variable is followed"
        )
    show(show_verdicts(settings, verdicts, as_json=as_json, is_wide=wide))


@learn.command("accept")
@click.argument("job")
@click.argument("event_id")
@click.argument("variable")
@click.argument("value")
@click.option("--key", "key", multiple=True, help="Value of a key column; once for each, in order.")
@click.option("--detector", help="Only this detector (default: all that know the variable).")
@click.option("--directory", type=click.Path(path_type=Path), help="JOB is a job file, run in this directory.")
@pass_target
def learn_accept(
    target: Target,
    job: str,
    event_id: str,
    variable: str,
    value: str,
    key: tuple[str, ...],
    detector: str | None,
    directory: Path | None,
) -> None:
    """Let a reported value count as known from the next rows on; EVENT_ID is - where detectors learn without one."""
    from cluster.client.learning import accept_in_directory, check_groups, parse_acceptance
    from raft.commands import request_id

    if directory is not None:
        settings = _load(job)
        acceptance = parse_acceptance(settings, key, event_id, variable, value, detector)
        numbers = accept_in_directory(settings, directory, acceptance, request_id(), now_us())
        where = ", ".join(f"partition {number}" for number in numbers)
        click.echo(f"accepted {value!r} of {variable} in {where}, for the rows to come")
        return
    client = target.client()
    acceptance = parse_acceptance(client.settings(job), key, event_id, variable, value, detector)
    check_groups(acceptance, client.near_groups(job, acceptance))
    record = client.accept(job, acceptance.to_bytes())
    if record.positions is None:
        click.echo(f"accepted {value!r} of {variable}, for the rows that come when {job} runs again")
    else:
        places = ", ".join(f"offset {offset} of split {split}" for split, offset in record.positions)
        click.echo(f"accepted {value!r} of {variable}, from {places or 'the first row'} on")


@learn.command("accepted")
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@pass_target
def learn_accepted(target: Target, job: str, as_json: bool) -> None:
    """Print the values that were accepted, and from which offset of which split on they count as known."""
    from cluster.client.learning import show_accepted

    client = target.client()
    show(show_accepted(client.settings(job), client.job(job).acceptances, as_json=as_json))


@learn.command("templates")
@click.argument("log_file", type=click.Path(path_type=Path))
@click.option("--format", "log_format", default="iso", show_default=True, help="As `format` in a job file.")
@click.option("--record-start", help="As `record_start` in a job file.")
@click.option(
    "--similarity", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="Share of words in common."
)
@click.option("--depth", default=4, show_default=True, type=click.IntRange(min=3), help="Depth of Drain's tree.")
@click.option("--min-count", default=2, show_default=True, type=click.IntRange(min=1), help="Lines that a kind needs.")
def learn_templates(
    log_file: Path, log_format: str, record_start: str | None, similarity: float, depth: int, min_count: int
) -> None:
    """Print templates of the messages in a log, as YAML for a job file (needs the extra `drain`)."""
    from cluster.client.templates import Mining, mine_templates, show_templates

    mining = Mining(
        log_format=log_format, record_start=record_start, similarity=similarity, depth=depth, count_min=min_count
    )
    found = mine_templates(log_file, mining)
    show(show_templates(found))
    say(found.summary(mining))
    if not found.templates:
        sys.exit(1)


def _load(job_file: str) -> Any:
    from config.load import load_job

    return load_job(job_file)
