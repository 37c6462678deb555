"""The command `tocsin`: parse, call one function, print.

Results go to the standard output, everything else to the standard error. Exit codes: 0 fine, 1 the answer is no,
2 an expected error. Ray is imported only by the commands that need it, after its environment is set.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actors.errors import TocsinError
from cluster.home import Home
from cluster.local import prepare_environment
from raft.errors import RaftError

if TYPE_CHECKING:
    from actors.anomalies import Anomaly
    from cluster.client import Client
    from cluster.embedded import EmbeddedJob

DEAD_LETTERS_SHOWN_MAX = 3
"""Dead letters whose reasons `tocsin run` tells."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--home", "directory", metavar="DIR", help="Where the cluster keeps everything (default: ~/.tocsin).")
@click.version_option(package_name="tocsin", message="tocsin %(version)s")
@click.pass_context
def cli(context: click.Context, directory: str | None) -> None:
    """Watch keyed event streams, raise anomalies, remember events, survive crashes."""
    home = Home.find(directory)
    # Before any command imports Ray, which reads its environment then.
    prepare_environment(home)
    context.obj = home


def _client(home: Home) -> "Client":
    from cluster.client import Client

    return Client(home)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(text: str) -> None:
    """Print a result; no records are no lines."""
    click.echo(text, nl=bool(text))


@cli.command()
@click.argument("job_file", type=click.Path(path_type=Path))
def check(job_file: Path) -> None:
    """Check a job file and say what it will do."""
    from config.load import load_job

    job = load_job(job_file)
    click.echo(
        f"job {job.name}: {len(job.metrics)} metrics, {len(job.detectors)} detectors, {job.partitions} partitions"
    )
    from actors.assembly import build_engine

    for number, metric in enumerate(build_engine(job).metrics):
        click.echo(f"  {number}  {metric.kind.value:<6}  {metric.text}")


@cli.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--directory", type=click.Path(path_type=Path), help="Keep the partitions there (default: nowhere).")
@click.option("--follow", is_flag=True, help="Go on when the source has nothing more for now, until Ctrl-C.")
@click.option(
    "--limit", default=1_000_000, show_default=True, type=click.IntRange(min=0), help="Print at most so many anomalies."
)
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
def run(job_file: Path, directory: Path | None, follow: bool, limit: int, as_json: bool) -> None:
    """Run a job in this process, without a cluster, and print its anomalies."""
    from cluster.embedded import run_file
    from cluster.present import show_anomalies, show_run

    with ExitStack() as stack:
        place = directory or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-")))
        job, running = stack.enter_context(run_file(job_file, place, _now_us))
        running.run()
        _print(show_anomalies(job, running.new_anomalies(limit), as_json=as_json))
        if follow:
            with suppress(KeyboardInterrupt):
                for found in _follow(running, job.flush.period_ms / 1000, limit):
                    _print(show_anomalies(job, found, as_json=as_json, has_header=False))
        _say(show_run(running.pump.stat(), sum(stat.late_row_count for stat in running.host.stat())))
        for letter in running.host.dead_letters(DEAD_LETTERS_SHOWN_MAX)[:DEAD_LETTERS_SHOWN_MAX]:
            _say(f"dead letter at split {letter.split}, offset {letter.offset}: {letter.reason}")


def _follow(running: "EmbeddedJob", period_s: float, limit: int) -> Iterator[list["Anomaly"]]:
    """Go on with a job until interrupted, and give what it finds."""
    while True:
        time.sleep(period_s)
        running.run()
        found = running.new_anomalies(limit)
        if found:
            yield found


@cli.command()
@click.option("--members", "member_count", default=3, show_default=True, help="Members of the Raft group: 1, 3 or 5.")
@click.option("--group", "group_id", default=2, show_default=True, help="Id of the Raft group, above 1.")
@click.option("--cpus", "cpu_count", default=0, help="CPUs that Ray may give out (default: all).")
@click.option(
    "--dashboard/--no-dashboard", "has_dashboard", default=True, help="Start Ray's job server; submit needs it."
)
@click.pass_obj
def up(home: Home, member_count: int, group_id: int, cpu_count: int, has_dashboard: bool) -> None:
    """Start a local Ray cluster with a Raft group."""
    from cluster.local import ClusterOptions, start_cluster

    options = ClusterOptions(
        group_id=group_id, member_count=member_count, cpu_count=cpu_count, has_dashboard=has_dashboard
    )
    record = start_cluster(home, options)
    click.echo(f"up: Ray at {record.ray_address}, {member_count} members, home {home.directory}")


@cli.command()
@click.pass_obj
def down(home: Home) -> None:
    """End the local cluster; what jobs keep on disk stays."""
    from cluster.local import stop_cluster

    click.echo("down" if stop_cluster(home) else f"no cluster runs in {home.directory}")


@cli.command()
@click.argument("job_file", type=click.Path(path_type=Path))
@click.option("--wait/--no-wait", default=False, help="Follow the job until it is finished.")
@click.pass_obj
def submit(home: Home, job_file: Path, wait: bool) -> None:
    """Submit a job to the cluster, through Ray's job submission."""
    from cluster.submission import submit_job, wait_and_tell
    from config.load import load_job

    job = load_job(job_file)
    client = _client(home)
    submission_id = submit_job(client, home, job)
    click.echo(f"submitted {job.name} ({submission_id})")
    if wait:
        _print_summary(job.name, wait_and_tell(client, job.name, _say))


def _print_summary(name: str, summary: dict[str, Any]) -> None:
    if "failed" in summary:
        raise click.ClickException(f"job {name} failed: {summary['failed']}")
    if "pump" not in summary:
        raise click.ClickException(f"job {name} was stopped before its end")
    pump = summary["pump"]
    click.echo(f"finished {name}: {pump['row_count']} rows, {pump['dead_letter_count']} dead letters")


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@click.pass_obj
def jobs(home: Home, as_json: bool) -> None:
    """List the jobs of the group."""
    from cluster.present import show_json_lines, show_rows

    found = [
        {"job": job.job_id, "status": str(job.status), "partitions": job.partition_count, "hosts": job.host_count}
        for job in _client(home).state().jobs.values()
    ]
    if as_json:
        _print(show_json_lines(found))
    else:
        click.echo(
            show_rows(("job", "status", "partitions", "hosts"), [[str(v) for v in job.values()] for job in found])
        )


@cli.command()
@click.argument("job", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def status(home: Home, job: str | None, as_json: bool) -> None:
    """Show members, leader and, for a job, its partitions. Exit code 1: nobody leads."""
    from cluster.status import cluster_status, show_status

    found = cluster_status(_client(home), job)
    click.echo(json.dumps(found, default=str, indent=2) if as_json else show_status(found))
    if found["leader"] is None:
        sys.exit(1)


@cli.group()
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

    client = _client(home)
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
    _print(show_anomalies(settings, found, as_json=as_json, is_wide=wide))


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

    client = _client(home)
    client.open_for_queries(job)
    _print(show_dead_letters(client.dead_letters(job, limit), as_json=as_json))


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
    client = _client(home)
    client.open_for_queries(job)
    _print(show_events(query_stored_events(client, job, wanted), as_json=as_json))


@cli.command()
@click.argument("job")
@click.option("--hosts", "host_count", type=click.IntRange(min=1), required=True, help="Hosts wanted.")
@click.option("--wait/--no-wait", default=True, help="Wait until the partitions have moved.")
@click.pass_obj
def scale(home: Home, job: str, host_count: int, wait: bool) -> None:
    """Spread a job's partitions over another number of hosts; the job goes on."""
    from cluster.placement import host_names
    from raft.group import JobStatus

    client = _client(home)
    client.scale(job, host_count)
    if client.job(job).status is not JobStatus.RUNNING:
        click.echo(f"{job}: {host_count} hosts when it runs again")
        return
    if wait:
        wanted = set(host_names(host_count))
        client.wait(job, lambda found: set(found.owners) == wanted and not found.moves, 120)
    click.echo(f"{job}: {host_count} hosts")


@cli.group()
def chaos() -> None:
    """Kill processes on purpose, to see that nothing is lost."""


@chaos.command("kill-leader")
@click.option("--wait/--no-wait", default=True, help="Wait for the new leader and say how long it took.")
@click.pass_obj
def kill_leader(home: Home, wait: bool) -> None:
    """Kill the leading member by SIGKILL."""
    from cluster.chaos import kill_and_measure

    client = _client(home)
    if not wait:
        click.echo(f"killed {client.kill_leader()}")
        return
    found = kill_and_measure(client)
    click.echo(f"killed {found.killed}; {found.leader} leads epoch {found.epoch} after {found.elected_s:.2f} s")


@chaos.command("kill-host")
@click.argument("job")
@click.option("--host", help="Name of the host (default: the first).")
@click.pass_obj
def kill_host(home: Home, job: str, host: str | None) -> None:
    """Kill a host of a job by SIGKILL; Ray restarts it and the leader reopens its partitions."""
    click.echo(f"killed {_client(home).kill_host(job, host)}")


@cli.command()
@click.argument("job")
@click.pass_obj
def stop(home: Home, job: str) -> None:
    """Let a job rest; its data stay and can be queried."""
    _client(home).stop(job)
    click.echo(f"stopped {job}")


@cli.command()
@click.argument("job")
@click.pass_obj
def resume(home: Home, job: str) -> None:
    """Let a stopped job run again, from where it stood."""
    _client(home).resume(job)
    click.echo(f"resumed {job}")


@cli.command()
@click.argument("job")
@click.pass_obj
def remove(home: Home, job: str) -> None:
    """Forget a job that does not run; its directory stays until you delete it."""
    _client(home).remove(job)
    click.echo(f"removed {job}; its data are in {home.job_directory(job)}")


@cli.command()
@click.argument("job")
@click.option("--seconds", type=float, help="End after so long (default: until interrupted).")
@click.pass_obj
def top(home: Home, job: str, seconds: float | None) -> None:
    """Watch a job live: rows per second, lag, partitions, leader, latest anomalies."""
    from cluster.view import watch

    watch(_client(home), job, seconds)


@cli.command()
@click.option("--seconds", default=25.0, show_default=True, help="How long to watch, the failover included.")
@click.option("--job", "job_file", type=click.Path(path_type=Path), help="Another job than the machine's own metrics.")
@click.option("--plain", is_flag=True, help="Print lines instead of the live view.")
@click.pass_obj
def demo(home: Home, seconds: float, job_file: Path | None, plain: bool) -> None:
    """Watch this machine on a local cluster, kill the leader, and prove that nothing is lost. Exit code 1: it was."""
    from cluster.demo import run_demo

    if not run_demo(home, seconds, job_file, is_plain=plain):
        sys.exit(1)


@cli.command(hidden=True)
@click.pass_obj
def attach(home: Home) -> None:
    """Run as the entry point of a Ray job: submit the job given in the environment and follow it."""
    from cluster.submission import follow_job

    follow_job(_client(home))


def _now_us() -> int:
    return time.time_ns() // 1000


def main() -> None:
    """Run the command line; expected errors become one message and exit code 2."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        _say("interrupted")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (TocsinError, RaftError) as error:
        _say(f"error: {error}")
        sys.exit(2)
