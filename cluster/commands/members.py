"""Commands on the members of the group: `member list`, `member expel` and `member admit`."""

import sys

import click

from cluster.commands.terminal import show
from cluster.local.home import Home


@click.group()
def member() -> None:
    """Say who votes in the group, take a member's vote, or give one back."""


@member.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@click.pass_obj
def list_members(home: Home, as_json: bool) -> None:
    """List who votes and who waits to be admitted. Exit code 1: somebody does not take part."""
    from cluster.client.nodes import Nodes
    from cluster.show.nodes import plain_rows, show_members

    rows = Nodes(home).member_rows()
    show(plain_rows(rows) if as_json else show_members(rows))
    if any(row.problem for row in rows):
        sys.exit(1)


@member.command()
@click.argument("name")
@click.pass_obj
def expel(home: Home, name: str) -> None:
    """Take the vote from member NAME, which will not come back, or has lost its directory."""
    from cluster.client.nodes import Nodes

    Nodes(home).expel(name)
    click.echo(f"{name} votes no more")


@member.command()
@click.argument("name")
@click.pass_obj
def admit(home: Home, name: str) -> None:
    """Give member NAME its vote, which has come back without its directory; its former self loses the one it had."""
    from cluster.client.nodes import Nodes

    Nodes(home).admit(name)
    click.echo(f"{name} votes")
