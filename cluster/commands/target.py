"""What commands are about: the cluster of a home, or the one at an address, which is asked from anywhere."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click

from cluster.commands.terminal import say
from cluster.local.home import Home

if TYPE_CHECKING:
    from cluster.client.access import Access
    from cluster.client.client import Client

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the command line was told before the name of the command."""

    home: Home
    address: str = ""
    """Addresses of nodes of a cluster; empty: that of the home."""

    is_typed: bool = False
    """Whether the address was typed, and does not come from the environment."""

    password_file: Path | None = None
    """File with the password of the cluster at the address."""

    group_id: int = 2
    """Id of that cluster's group."""

    def access(self) -> "Access":
        """Return the way into the cluster; imports what makes certificates.

        Raises:
            ClusterError: there is none.
        """
        from cluster.client.access import Access
        from cluster.errors import ClusterError

        if not self.address:
            return Access.of_home(self.home)
        if self.password_file is None:
            raise ClusterError(
                f"{self.address} asks for the cluster's password; name its file by --password-file before the command, "
                "or by TOCSIN_PASSWORD_FILE"
            )
        return Access.at(self.address, self.password_file, self.group_id)

    def client(self, *, says_waits: bool = True) -> "Client":
        """Return a client of the cluster; unless told otherwise it says what it waits for when that takes long.

        Raises:
            ClusterError: there is no way into it.
        """
        from cluster.client.client import Client

        return Client(self.access(), say if says_waits else None)


def pass_home(command: Callable[Concatenate[Home, P], None]) -> Callable[P, None]:
    """Give a command of this machine its home; an address that was typed means another thing, and is refused."""

    @functools.wraps(command)
    def with_home(*arguments: P.args, **options: P.kwargs) -> None:
        target = click.get_current_context().find_object(Target)
        if target is not None and target.address and target.is_typed:
            name = click.get_current_context().info_name
            raise click.UsageError(f"`{name}` is about this machine; leave out --address")
        command(Home.find() if target is None else target.home, *arguments, **options)

    return with_home


def pass_target(command: Callable[Concatenate[Target, P], None]) -> Callable[P, None]:
    """Give a command the cluster that it is about."""

    @functools.wraps(command)
    def with_target(*arguments: P.args, **options: P.kwargs) -> None:
        target = click.get_current_context().find_object(Target)
        command(Target(home=Home.find()) if target is None else target, *arguments, **options)

    return with_target


def chosen_target(context: click.Context, directory: str | None, options: dict[str, Any]) -> Target:
    """Return what the options before a command's name mean; a home that was typed comes before the environment.

    Raises:
        click.UsageError: they contradict each other.
    """
    typed = {name for name in options if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    address = options["address"] or ""
    if directory is not None and "address" in typed:
        raise click.UsageError("--home and --address name two clusters; choose one")
    if directory is not None:
        address = ""
    if "password_file" in typed and not address:
        raise click.UsageError("--password-file before the command goes with --address")
    return Target(
        home=Home.find(directory),
        address=address,
        is_typed="address" in typed,
        password_file=options["password_file"],
        group_id=options["group_id"],
    )
