"""Commands on a job file, without a cluster: `check` and `run`."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.terminal import now_us, say, show

if TYPE_CHECKING:
    from actors.partition.anomaly_table import Anomaly
    from cluster.local.embedded import EmbeddedJob

DEAD_LETTERS_SHOWN_MAX = 3
"""Dead letters whose reasons `tocsin run` tells."""


@click.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(job_file: Path, as_json: bool) -> None:
    """Check a job file and say what its metrics keep and cost."""
    from cluster.show.job_report import job_report, show_report
    from config.load import load_job

    report = job_report(load_job(job_file))
    click.echo(json.dumps(report, indent=2, ensure_ascii=False) if as_json else show_report(report))


@click.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--directory", type=click.Path(path_type=Path), help="Keep the partitions there (default: nowhere).")
@click.option("--follow", is_flag=True, help="Go on when the source has nothing more for now, until Ctrl-C.")
@click.option(
    "--limit", default=1_000_000, show_default=True, type=click.IntRange(min=0), help="Print at most so many anomalies."
)
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
def run(job_file: Path, directory: Path | None, follow: bool, limit: int, as_json: bool) -> None:
    """Run a job in this process, without a cluster, and print its anomalies."""
    from cluster.local.embedded import run_file
    from cluster.show.present import show_anomalies, show_run

    with ExitStack() as stack:
        place = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-")))
        job, running = stack.enter_context(run_file(job_file, place, now_us))
        running.run()
        show(show_anomalies(job, running.new_anomalies(limit), as_json=as_json))
        if follow:
            with suppress(KeyboardInterrupt):
                for found in _follow(running, job.flush.period_ms / 1000, limit):
                    show(show_anomalies(job, found, as_json=as_json, has_header=False))
        say(show_run(running.pump.stat(), sum(stat.late_row_count for stat in running.host.stat())))
        for letter in running.host.dead_letters(DEAD_LETTERS_SHOWN_MAX)[:DEAD_LETTERS_SHOWN_MAX]:
            say(f"dead letter at split {letter.split}, offset {letter.offset}: {letter.reason}")


def _follow(running: "EmbeddedJob", period_s: float, limit: int) -> Iterator[list["Anomaly"]]:
    """Go on with a job until interrupted, and give what it finds."""
    while True:
        time.sleep(period_s)
        running.run()
        found = running.new_anomalies(limit)
        if found:
            yield found
