"""Commands on a job file, without a cluster: `check` and `run`."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.backtests import NO_EPISODES
from cluster.commands.terminal import ALL, limit_option, now_us, say, say_lines, show

if TYPE_CHECKING:
    from cluster.local.embedded import EmbeddedJob
    from config.settings import JobSettings

DEAD_LETTERS_SHOWN_MAX = 3
"""Dead letters whose reasons `tocsin run` tells."""


def _duration_s(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Return the seconds of a duration that was typed."""
    from actors.durations import parse_duration

    try:
        return None if text is None else parse_duration(text) / 1e9
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(job_file: Path, as_json: bool) -> None:
    """Check a job file, say what it keeps and costs, and look at the first rows. Exit code 1: only dead letters."""
    from cluster.backtest.sample import take_sample
    from cluster.local.extras_here import missing_here
    from cluster.show.job_report import job_report, show_report, show_sample
    from cluster.show.present import show_nothing_but_letters
    from config.load import load_job

    job = load_job(job_file)
    report, missing, sample = job_report(job), missing_here(job), take_sample(job)
    if as_json:
        show(json.dumps(report | {"missing": missing, "sample": asdict(sample)}, indent=2, ensure_ascii=False))
    else:
        show(f"{show_report(report)}\n\n{show_sample(job, sample)}")
        say_lines(missing)
    if sample.dead_letters and not sample.rows:
        say(show_nothing_but_letters(sample.dead_letters))
        sys.exit(1)


@click.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--directory", type=click.Path(path_type=Path), help="Keep the partitions there (default: nowhere).")
@click.option(
    "--follow/--no-follow", "follow", default=None, help="Go on until Ctrl-C (default: if the source has no end)."
)
@click.option("--until-idle", callback=_duration_s, help="Go on until nothing has come for so long, such as 5s.")
@limit_option(1_000_000)
@click.option("--episodes", "is_of_episodes", is_flag=True, help="Print episodes in place of anomalies.")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
def run(
    job_file: Path,
    directory: Path | None,
    follow: bool | None,
    until_idle: float | None,
    limit: int,
    is_of_episodes: bool,
    as_json: bool,
) -> None:
    """Run a job in this process, without a cluster, and print its anomalies. Exit code 1: no record became a row."""
    from cluster.local.embedded import run_file

    if until_idle is not None and follow is not None:
        raise click.UsageError("--until-idle says when a run ends; leave --follow and --no-follow out")
    limit = limit or ALL
    with ExitStack() as stack:
        place = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-")))
        job, running = stack.enter_context(run_file(job_file, place, now_us, _say_early))
        if job.standby:
            say("`standby` needs a cluster of several machines; this run keeps each partition once")
        if job.notifications is not None:
            say("`notifications` are for clusters: in this run groups do not wait, and there are no silences")
        running.run()
        if until_idle is not None:
            _wait_until_idle(running, job.flush.period_ms / 1000, until_idle)
        if is_of_episodes and not job.has_episodes:
            say(NO_EPISODES)
        # What a sink prints is not printed twice.
        is_printed = any(sink.type == "stdout" for sink in job.sinks) and not is_of_episodes
        news = _news(job, running, limit, is_of_episodes=is_of_episodes, as_json=as_json)
        if not is_printed:
            show(next(news))
        has_end = running.stat().at_end
        if until_idle is None and (follow or (follow is None and not has_end)):
            say(f"{running.stat().row_count} rows so far; waiting for more until Ctrl-C")
            with suppress(KeyboardInterrupt):
                for _ in _follow(running, job.flush.period_ms / 1000):
                    if not is_printed:
                        show(next(news))
        elif until_idle is None and not has_end:
            say(f"a source of type {job.source.type} like this one has no end; what comes later was not read")
        if not _say_summary(job, running, limit):
            sys.exit(1)


def _say_early(remarks: Sequence[str]) -> None:
    """Say what is odd about the first records, while others are read."""
    say_lines([f"so far: {remark}" for remark in remarks])


def _say_summary(job: "JobSettings", running: "EmbeddedJob", limit: int) -> bool:
    """Say what a run has read and found; return whether any record became a row, if there were records."""
    from actors.time_text import time_text
    from cluster.show.present import show_nothing_but_letters, show_null_comparisons, show_run

    stat, kind = running.stat(), job.row_schema[job.time_column].type
    times = [time_text(kind, ticks) for ticks in running.times or ()]
    say(show_run(stat, sum(one.late_row_count for one in running.host.stat()), times))
    say_lines([*running.remarks(), *show_null_comparisons(job, running.null_comparison_counts())])
    for letter in running.ask("dead_letters", count_max=DEAD_LETTERS_SHOWN_MAX)[:DEAD_LETTERS_SHOWN_MAX]:
        say(f"dead letter at split {letter.split}, offset {letter.offset}: {letter.reason}")
    if running.has_more(limit):
        say("more anomalies were found than are printed; --limit 0 prints all")
    if stat.dead_letter_count and not stat.row_count:
        say(show_nothing_but_letters(stat.dead_letter_count))
        return False
    return True


def _wait_until_idle(running: "EmbeddedJob", period_s: float, idle_s: float) -> None:
    """Go on with a job until its source ends, has given no record for so long, or someone interrupts."""
    with suppress(KeyboardInterrupt):
        count, changed_s = _record_count(running), time.monotonic()
        while not running.stat().at_end and time.monotonic() - changed_s < idle_s:
            time.sleep(min(period_s, idle_s))
            running.run()
            if _record_count(running) != count:
                count, changed_s = _record_count(running), time.monotonic()


def _record_count(running: "EmbeddedJob") -> int:
    return running.stat().row_count + running.stat().dead_letter_count


def _follow(running: "EmbeddedJob", period_s: float) -> Iterator[None]:
    """Go on with a job until its source ends or someone interrupts; each step may have found something."""
    while not running.stat().at_end:
        time.sleep(period_s)
        running.run()
        yield


def _news(
    job: "JobSettings", running: "EmbeddedJob", limit: int, *, is_of_episodes: bool, as_json: bool
) -> Iterator[str]:
    """Give, as text, what was found since the time before; episodes again whenever they have turned."""
    from cluster.show.episodes import show_episodes
    from cluster.show.present import show_anomalies

    is_first = True
    while True:
        if is_of_episodes:
            episodes = running.new_episodes(limit)
            text = show_episodes(job, episodes, as_json=as_json, has_header=is_first) if episodes or is_first else ""
        else:
            found = running.new_anomalies(limit)
            text = show_anomalies(job, found, as_json=as_json, has_header=is_first) if found or is_first else ""
        is_first = False
        yield text
