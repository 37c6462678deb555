"""Commands on the members of the group: `member list`, `member expel` and `member admit`."""

import sys

import click

from cluster.commands.target import Target, pass_target
from cluster.commands.terminal import show


@click.group()
def member() -> None:
    """Say who votes in the group, take a member's vote, or give one back."""


@member.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print lines of JSON.")
@pass_target
def list_members(target: Target, as_json: bool) -> None:
    """List who votes and who waits to be admitted. Exit code 1: somebody does not take part."""
    from cluster.client.nodes import Nodes
    from cluster.show.nodes import plain_rows, show_members

    rows = Nodes(target.access()).member_rows()
    show(plain_rows(rows) if as_json else show_members(rows))
    if any(row.problem for row in rows):
        sys.exit(1)


@member.command()
@click.argument("name")
@pass_target
def expel(target: Target, name: str) -> None:
    """Take the vote from member NAME, which will not come back, or has lost its directory."""
    from cluster.client.nodes import Nodes

    Nodes(target.access()).expel(name)
    click.echo(f"{name} votes no more")


@member.command()
@click.argument("name")
@pass_target
def admit(target: Target, name: str) -> None:
    """Give member NAME its vote, which has come back without its directory; its former self loses the one it had."""
    from cluster.client.nodes import Nodes

    Nodes(target.access()).admit(name)
    click.echo(f"{name} votes")
