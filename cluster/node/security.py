"""What a process of the cluster needs to prove itself, from the password in its machine's home."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cluster.node.settings import NodeSettings
from raft.credentials import Credentials
from raft.passwords import read_password_file

PASSWORD_NAME = "password"
"""File with the password of the group, in a home."""


NAMESPACE = "tocsin"
"""Ray namespace of all our actors, in a Ray of our own."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """Both sides of a connection."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def credentials_of(directory: Path) -> Credentials:
    """Return what a node proves itself by.

    Raises:
        SettingsError: its password cannot be trusted, or read.
    """
    settings = NodeSettings.read(directory)
    password = read_password_file(Path(settings.home) / PASSWORD_NAME)
    return Credentials.load_or_derive(directory, group_name(settings.group_id), password)


def contexts_of(directory: Path) -> Contexts:
    """Return what connections of a node's processes are made with."""
    found = credentials_of(directory)
    return Contexts(server=found.server_context(), client=found.client_context())


def guest_namespace(credentials: Credentials) -> str:
    """Return the namespace of our actors in a Ray that others have started, where there may be other groups."""
    return f"{NAMESPACE}-{credentials.fingerprint}"


def group_name(group_id: int) -> str:
    """Return the name by which members of a group know each other."""
    return f"tocsin-{group_id}"
