"""Commands on a whole cluster: `up`, `down`, `demo` and `chaos`."""

import sys
from pathlib import Path

import click

from cluster.commands.terminal import client_of
from cluster.local.home import Home


@click.command()
@click.option("--members", "member_count", default=3, show_default=True, help="Members of the Raft group: 1, 3 or 5.")
@click.option("--group", "group_id", default=2, show_default=True, help="Id of the Raft group, above 1.")
@click.option("--cpus", "cpu_count", default=0, help="CPUs that Ray may give out (default: all).")
@click.option(
    "--dashboard/--no-dashboard", "has_dashboard", default=True, help="Start Ray's job server; submit needs it."
)
@click.pass_obj
def up(home: Home, member_count: int, group_id: int, cpu_count: int, has_dashboard: bool) -> None:
    """Start a local Ray cluster with a Raft group."""
    from cluster.local.cluster import ClusterOptions, start_cluster

    options = ClusterOptions(
        group_id=group_id, member_count=member_count, cpu_count=cpu_count, has_dashboard=has_dashboard
    )
    record = start_cluster(home, options)
    click.echo(f"up: Ray at {record.ray_address}, {member_count} members, home {home.directory}")


@click.command()
@click.pass_obj
def down(home: Home) -> None:
    """End the local cluster; what jobs keep on disk stays."""
    from cluster.local.cluster import stop_cluster

    click.echo("down" if stop_cluster(home) else f"no cluster runs in {home.directory}")


@click.command()
@click.option("--seconds", default=25.0, show_default=True, help="How long to watch, the failover included.")
@click.option("--job", "job_file", type=click.Path(path_type=Path), help="Another job than the machine's own metrics.")
@click.option("--plain", is_flag=True, help="Print lines instead of the live view.")
@click.pass_obj
def demo(home: Home, seconds: float, job_file: Path | None, plain: bool) -> None:
    """Watch this machine on a local cluster, kill the leader, and prove that nothing is lost. Exit code 1: it was."""
    from cluster.local.demo import run_demo

    if not run_demo(home, seconds, job_file, is_plain=plain):
        sys.exit(1)


@click.group()
def chaos() -> None:
    """Kill processes on purpose, to see that nothing is lost."""


@chaos.command("kill-leader")
@click.option("--wait/--no-wait", default=True, help="Wait for the new leader and say how long it took.")
@click.pass_obj
def kill_leader(home: Home, wait: bool) -> None:
    """Kill the leading member by SIGKILL."""
    from cluster.client.chaos import kill_and_measure

    client = client_of(home)
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
    click.echo(f"killed {client_of(home).kill_host(job, host)}")
