"""Commands on the jobs of a cluster: submit them, look at them, scale, stop and remove them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.commands.target import Target, pass_target
from cluster.commands.terminal import say, say_lines, show

if TYPE_CHECKING:
    from cluster.leader.status import JobSummary


@click.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--wait/--no-wait", default=False, help="Follow the job until it is finished.")
@pass_target
def submit(target: Target, job_file: Path, wait: bool) -> None:
    """Submit a job to the cluster, through Ray's job server where that runs."""
    from cluster.client.submission import submit_job, wait_and_tell
    from config.load import load_job

    job = load_job(job_file)
    client = target.client()
    submission_id = submit_job(client, target.home, job)
    click.echo(f"submitted {job.name}" + (f" ({submission_id})" if submission_id else ""))
    if wait:
        _print_summary(job.name, wait_and_tell(client, job.name, say))


def _print_summary(name: str, summary: "JobSummary") -> None:
    from cluster.show.present import show_nothing_but_letters

    if summary.failed is not None:
        raise click.ClickException(f"job {name} failed: {summary.failed}")
    if (pump := summary.pump) is None:
        raise click.ClickException(f"job {name} was stopped before its end")
    click.echo(f"finished {name}: {pump.row_count} rows, {pump.dead_letter_count} dead letters")
    if pump.dead_letter_count and not pump.row_count:
        say(show_nothing_but_letters(pump.dead_letter_count))
        sys.exit(1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@pass_target
def jobs(target: Target, as_json: bool) -> None:
    """List the jobs of the group."""
    from cluster.leader.placement import hosts_wanted
    from cluster.show.text import show_json_lines, show_rows

    found = [
        {"job": job.job_id, "status": str(job.status), "partitions": job.partition_count, "hosts": hosts_wanted(job)}
        for job in target.client().state().jobs.values()
    ]
    if as_json:
        show(show_json_lines(found))
    else:
        click.echo(
            show_rows(("job", "status", "partitions", "hosts"), [[str(v) for v in job.values()] for job in found])
        )


@click.command()
@click.argument("job", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_target
def status(target: Target, job: str | None, as_json: bool) -> None:
    """Show members, leader and, for a job, its partitions. Exit code 1: nobody leads."""
    from cluster.show.status import cluster_status, plain_status, show_status

    client = target.client()
    found = cluster_status(client, job)
    click.echo(json.dumps(plain_status(found), default=str, indent=2) if as_json else show_status(found))
    if found.job is not None and any(any(stat.null_comparison_counts) for stat in found.job.partitions):
        from actors.partition.values import null_comparisons
        from cluster.show.present import show_null_comparisons

        say_lines(show_null_comparisons(client.settings(found.job.job.job_id), null_comparisons(found.job.partitions)))
    if found.leader is None:
        sys.exit(1)


@click.command()
@click.argument("job")
@click.option("--seconds", type=float, help="End after so long (default: until interrupted).")
@pass_target
def top(target: Target, job: str, seconds: float | None) -> None:
    """Watch a job live: rows per second, lag, partitions, leader, latest anomalies."""
    from cluster.show.view import watch

    watch(target.client(says_waits=False), job, seconds)


class HostCount(click.ParamType[int]):
    """A number of hosts of a job's own, or `shared`, which is none."""

    name = "N|shared"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        if value == "shared":
            return 0
        if isinstance(value, int):
            return value
        text = str(value)
        if not text.isdecimal() or not int(text):
            self.fail(f"{text!r} is neither `shared` nor a number of hosts, of at least 1", param, ctx)
        return int(text)


@click.command()
@click.argument("job")
@click.option("--hosts", "host_count", type=HostCount(), required=True, help="Hosts of its own, or `shared`.")
@click.option("--wait/--no-wait", default=True, help="Wait until the partitions have moved.")
@pass_target
def scale(target: Target, job: str, host_count: int, wait: bool) -> None:
    """Spread a job's partitions over another number of hosts, or have it share one; the job goes on."""
    from cluster.client.scaling import wait_scaled
    from raft.records import JobStatus

    client = target.client()
    client.scale(job, host_count)
    hosts = f"{host_count} hosts" if host_count else "shares a host"
    if client.job(job).status is not JobStatus.RUNNING:
        click.echo(f"{job}: {hosts} when it runs again")
        return
    if wait:
        wait_scaled(client, job, say)
    click.echo(f"{job}: {hosts}")


@click.command()
@click.argument("job")
@pass_target
def stop(target: Target, job: str) -> None:
    """Let a job rest; its data stay and can be queried."""
    target.client().stop(job)
    click.echo(f"stopped {job}")


@click.command()
@click.argument("job")
@pass_target
def resume(target: Target, job: str) -> None:
    """Let a stopped job run again, from where it stood."""
    target.client().resume(job)
    click.echo(f"resumed {job}")


@click.command()
@click.argument("job")
@pass_target
def remove(target: Target, job: str) -> None:
    """Forget a job that does not run; its directory stays until you delete it."""
    target.client().remove(job)
    where = "stay on the nodes" if target.address else f"are in {target.home.job_directory(job)}"
    click.echo(f"removed {job}; its data {where}")


@click.command(hidden=True)
@pass_target
def attach(target: Target) -> None:
    """Run as the entry point of a Ray job: submit the job given in the environment and follow it."""
    from cluster.client.submission import follow_job

    follow_job(target.client())
