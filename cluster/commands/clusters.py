"""Commands on a whole cluster: `up`, `join`, `leave`, `nodes`, `down`, `demo` and `chaos`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from actors.allowed import is_url
from cluster.commands.target import Target, pass_home, pass_target
from cluster.commands.terminal import say_lines, show
from cluster.local.home import Home

_ADDRESS_HELP = "Address of this machine that others reach, as HOST or HOST:PORT (port 7100)."
_PASSWORD_HELP = "File with the cluster's password, readable by its owner alone."


class _Place(click.Path):
    """A path that is there, or a URL."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if isinstance(value, str) and is_url(value) else super().convert(value, param, ctx)


_ALLOW_OPTION = click.option(
    "--allow-path",
    "allowed",
    multiple=True,
    type=_Place(exists=True, resolve_path=True),
    help="Folder besides `files` of the home that jobs may touch on this machine, or URL that they may read; may be "
    "repeated. "
    "Without --node-address and --allow-path they may touch everything.",
)


@click.command()
@click.option("--members", "member_count", type=int, help="Nodes on this machine: 1, 3 or 5 (default: 3).")
@click.option("--group", "group_id", default=2, show_default=True, help="Id of the Raft group, above 1.")
@click.option(
    "--cpus", "cpu_count", default=0, type=click.IntRange(min=0), help="CPUs that Ray may give to others than Tocsin."
)
@click.option(
    "--dashboard/--no-dashboard", "has_dashboard", default=False, help="Start Ray's server for jobs and pages, too."
)
@click.option(
    "--ray-address",
    default="",
    metavar="HOST:PORT",
    help="Use the Ray that others have started there: nodes are on its machines, or all on this one with --members. "
    "ray://HOST:10001 from a machine that is none of its.",
)
@click.option(
    "--ray-nodes", type=click.IntRange(min=0), help="Machines of that Ray to be on (default: 3); 0: all, also new ones."
)
@click.option("--ray-python", default="", help="Python on those machines that has Tocsin (default: that of Ray there).")
@click.option(
    "--ray-home",
    default="",
    metavar="DIR",
    help="Folder there for homes of nodes (default: ~/.tocsin-ray).",
)
@click.option("--ray-port", type=click.IntRange(1024, 65534), help="Port of nodes there (default: 7100), and the next.")
@click.option("--node-address", help=f"{_ADDRESS_HELP} Other machines can join then.")
@click.option("--password-file", type=click.Path(path_type=Path), help=f"{_PASSWORD_HELP} Without, one is made.")
@_ALLOW_OPTION
@pass_home
def up(
    home: Home,
    /,
    member_count: int | None,
    group_id: int,
    cpu_count: int,
    has_dashboard: bool,
    ray_address: str,
    node_address: str | None,
    password_file: Path | None,
    allowed: tuple[str, ...],
    **there: Any,
) -> None:
    """Start a cluster: of this machine alone, the first node of several machines, or on a Ray of others."""
    from cluster.local.cluster import ClusterOptions, start_cluster
    from cluster.node.joining import keep_password

    if node_address is not None and member_count not in (None, 1):
        raise click.UsageError("with --node-address this machine is one node; the others join from theirs")
    if any(there.values()) and (not ray_address or member_count is not None):
        raise click.UsageError("--ray-nodes, --ray-python, --ray-home and --ray-port go with --ray-address alone")
    if ray_address and member_count is None and (node_address or cpu_count or has_dashboard):
        raise click.UsageError(
            "machines of the Ray at --ray-address are its owner's; leave out --node-address, --cpus and --dashboard"
        )
    if password_file is not None:
        keep_password(home, password_file)
    if ray_address and member_count is None:
        _up_on_machines_of_ray(home, ray_address, group_id, allowed, there)
        return
    options = ClusterOptions(
        group_id=group_id,
        member_count=member_count or (3 if node_address is None else 1),
        cpu_count=cpu_count,
        has_dashboard=has_dashboard,
        ray_address=ray_address,
        allowed_paths=allowed,
        node_address=None if node_address is None else _address(node_address),
    )
    record = start_cluster(home, options)
    click.echo(f"up: {', '.join(record.node_addresses)}, home {home.directory}")
    if node_address is not None:
        (address,) = record.node_addresses.values()
        click.echo(f"join with: tocsin join {address} --node-address HERE --password-file {home.password_path}")
    if record.dashboard_address:
        click.echo(f"Ray's dashboard: {record.dashboard_address}")


def _up_on_machines_of_ray(
    home: Home, ray_address: str, group_id: int, allowed: tuple[str, ...], there: Mapping[str, Any]
) -> None:
    from cluster.allowed import joined
    from cluster.client.access import NODE_PORT
    from cluster.local.guests import start_guests
    from cluster.node.guest_plan import FOUNDER_COUNT, GuestPlan

    plan = GuestPlan(
        group_id=group_id,
        space="",
        base=there["ray_home"] or "~/.tocsin-ray",
        python=there["ray_python"],
        port=there["ray_port"] or NODE_PORT,
        count=FOUNDER_COUNT if there["ray_nodes"] is None else there["ray_nodes"],
        allowed_paths=joined(allowed),
    )
    record, remarks = start_guests(home, ray_address, plan)
    say_lines(remarks)
    nodes = ", ".join(f"{name} at {address}" for name, address in record.node_addresses.items())
    click.echo(f"up: {nodes}, home {home.directory}")
    addresses = ",".join(record.node_addresses.values())
    click.echo(f"ask from anywhere: tocsin --address {addresses} --password-file {home.password_path} status")


@click.command()
@click.argument("seed")
@click.option("--node-address", required=True, help=_ADDRESS_HELP)
@click.option("--password-file", required=True, type=click.Path(path_type=Path), help=_PASSWORD_HELP)
@click.option("--group", "group_id", default=2, show_default=True, help="Id of the cluster's Raft group.")
@click.option(
    "--cpus", "cpu_count", default=0, type=click.IntRange(min=0), help="CPUs that Ray may give to others than Tocsin."
)
@_ALLOW_OPTION
@pass_home
def join(
    home: Home,
    seed: str,
    node_address: str,
    password_file: Path,
    group_id: int,
    cpu_count: int,
    allowed: tuple[str, ...],
) -> None:
    """Make this machine a node of the cluster of which SEED (HOST:PORT) is a node."""
    from cluster.local.cluster import ClusterOptions
    from cluster.node.joining import join_cluster

    host, port = _address(seed)
    options = ClusterOptions(group_id=group_id, cpu_count=cpu_count, allowed_paths=allowed)
    record = join_cluster(home, f"{host}:{port}", _address(node_address), password_file, options)
    click.echo(f"joined: {', '.join(record.node_addresses)}, home {home.directory}")


@click.command()
@pass_home
def leave(home: Home) -> None:
    """Have the partitions of this machine moved away, and take it out of its cluster."""
    from cluster.node.joining import leave_cluster

    click.echo(f"{leave_cluster(home)} has left")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@pass_target
def nodes(target: Target, as_json: bool) -> None:
    """List the nodes of the cluster. Exit code 1: one does not answer."""
    from cluster.client.nodes import Nodes
    from cluster.show.nodes import node_rows, plain_rows, show_nodes

    rows = node_rows(Nodes(target.access()))
    show(plain_rows(rows) if as_json else show_nodes(rows))
    if not all(row.answers for row in rows):
        sys.exit(1)


@click.command()
@pass_home
def node(home: Home) -> None:
    """Run this machine's node in the foreground, for who watches processes by other means than `tocsin up` does."""
    from cluster.node.node_main import run_node
    from cluster.node.settings import find_settings

    run_node(find_settings(home))


def _address(text: str) -> tuple[str, int]:
    from cluster.client.access import with_port
    from raft.settings import split_address

    return split_address(with_port(text))


@click.command()
@pass_home
def down(home: Home) -> None:
    """End the nodes of this home, also those on a Ray of others; what they keep on disk stays."""
    from cluster.local.cluster import stop_cluster
    from cluster.local.guests import stop_guests

    click.echo("down" if stop_guests(home) or stop_cluster(home) else f"no cluster runs in {home.directory}")


@click.command()
@click.option("--seconds", default=25.0, show_default=True, help="How long to watch, the failover included.")
@click.option("--job", "job_file", type=click.Path(path_type=Path), help="Another job than the machine's own metrics.")
@click.option("--plain", is_flag=True, help="Print lines instead of the live view.")
@pass_home
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
@pass_target
def kill_leader(target: Target, wait: bool) -> None:
    """Kill the node that leads, and its leader's process, by SIGKILL."""
    from cluster.client.chaos import kill_and_measure

    client = target.client()
    if not wait:
        click.echo(f"killed {client.kill_leader()}")
        return
    found = kill_and_measure(client)
    click.echo(f"killed {found.killed}; {found.leader} leads epoch {found.epoch} after {found.elected_s:.2f} s")


@chaos.command("kill-host")
@click.argument("job")
@click.option("--host", help="Name of the host (default: the first).")
@pass_target
def kill_host(target: Target, job: str, host: str | None) -> None:
    """Kill a host of a job by SIGKILL; Ray restarts it and the leader reopens its partitions."""
    click.echo(f"killed {target.client().kill_host(job, host)}")
