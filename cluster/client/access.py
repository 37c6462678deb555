"""How a client gets into a cluster: where its nodes listen, and what the client proves itself by.

A machine on which nodes of the cluster have their home finds both there. Any other one needs an address and the
password: the password makes a certificate, as for a machine that joins, and the node at the address tells the rest.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.errors import ClusterError
from cluster.local.guest_record import GuestRecord
from cluster.local.home import Home
from cluster.node.security import credentials_of, group_name
from raft.credentials import Credentials
from raft.passwords import read_password_file
from raft.settings import split_address

ADDRESS_VARIABLE: Final = "TOCSIN_ADDRESS"
"""Environment variable with addresses of nodes, as `Access.at` takes them."""

PASSWORD_VARIABLE: Final = "TOCSIN_PASSWORD_FILE"
"""Environment variable that names the file with the cluster's password."""

NODE_PORT: Final = 7100
"""Port of a node's control server unless another is chosen; its member takes part in Raft at the next one."""

GROUP_ID: Final = 2
"""Id of a cluster's group unless another is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way into one cluster."""

    addresses: Mapping[str, str]
    """host:port of control servers, by name of the node where that is known, else by the address itself."""

    group_id: int
    """Id of the cluster's group."""

    context: ssl.SSLContext
    """What connections are made with."""

    own_name: str = ""
    """Name of a node of this machine; empty when it has none."""

    dashboard_address: str | None = None
    """http address that takes Ray jobs, or `None` when there is none, or none is known."""

    way_out: str
    """What helps when no node answers."""

    @classmethod
    def of_home(cls, home: Home) -> "Access":
        """Return the way into the cluster of a home.

        Raises:
            NotRunningError: none was started there.
            ClusterError: its record cannot be read, or its secret cannot be trusted.
        """
        guests = GuestRecord.read(home)
        if guests is not None:
            return cls.of_guests(guests, read_password_file(home.password_path))
        record = home.read_record()
        first = next(iter(record.node_addresses))
        return cls(
            addresses=dict(record.node_addresses),
            group_id=record.group_id,
            context=credentials_of(home.member_directory(record.group_id, first)).client_context(),
            own_name=first,
            dashboard_address=record.dashboard_address,
            way_out="if they have ended, run `tocsin down`, then `tocsin up`: jobs go on where they stood",
        )

    @classmethod
    def of_guests(cls, record: GuestRecord, password: str) -> "Access":
        """Return the way into a cluster that was begun from a home on a Ray of others."""
        return cls(
            addresses=dict(record.node_addresses),
            group_id=record.plan.group_id,
            context=Credentials.derive(group_name(record.plan.group_id), password).client_context(),
            way_out="is that Ray up, and are its machines reached from here?",
        )

    @classmethod
    def at(cls, addresses: str, password_file: str | Path, group_id: int = GROUP_ID) -> "Access":
        """Return the way into the cluster of which nodes listen at these addresses; nobody is asked yet.

        Args:
            addresses: HOST or HOST:PORT (7100) of one or more nodes, between commas; one that answers is enough.
            password_file: file with the cluster's password, readable by its owner alone.
            group_id: id of the cluster's group.

        Raises:
            SettingsError: one is no address.
            CredentialsError: the file cannot be trusted.
            ClusterError: there is no address.
        """
        listed = [with_port(one.strip()) for one in addresses.split(",") if one.strip()]
        if not listed:
            raise ClusterError(f"{addresses!r} has no address; write HOST:PORT of a node, several with commas")
        password = read_password_file(Path(password_file).expanduser())
        return cls(
            addresses={one: one for one in listed},
            group_id=group_id,
            context=Credentials.derive(group_name(group_id), password).client_context(),
            way_out="is the address one that `tocsin nodes` lists, and the password that cluster's?",
        )

    @classmethod
    def find(cls) -> "Access":
        """Return the way that the environment names: `TOCSIN_ADDRESS` with `TOCSIN_PASSWORD_FILE`, or else the home.

        Raises:
            ClusterError: there is an address and no password file; or as `at` and `of_home` say.
        """
        address = os.environ.get(ADDRESS_VARIABLE)
        if not address:
            return cls.of_home(Home.find())
        password_file = os.environ.get(PASSWORD_VARIABLE)
        if not password_file:
            raise ClusterError(f"{ADDRESS_VARIABLE} needs {PASSWORD_VARIABLE}, the file with the cluster's password")
        return cls.at(address, password_file)


def with_port(text: str, port: int = NODE_PORT) -> str:
    """Return HOST or HOST:PORT as host:port; an IPv6 host stands in brackets.

    Raises:
        SettingsError: it is no such thing.
    """
    address = text if ":" in text.rpartition("]")[2] else f"{text}:{port}"
    split_address(address)
    return address
