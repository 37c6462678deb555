"""TLS of Ray's own connections: what Ray's processes of a machine prove themselves with to those of others.

Ray's gRPC reads a certificate, its key and the authority's certificate from files that variables of the environment
name, and then asks every caller for a certificate of that authority. They are made of the group's password, like those
of our own connections, but name the machine's address: gRPC looks for the one that it calls. On loopback, where nobody
listens in, Ray goes on without.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from actors.files import make_directory, replace_file
from cluster.errors import ClusterError
from cluster.local.home import Home
from cluster.node.ray_environment import is_loopback
from cluster.node.security import group_name
from cluster.node.settings import NodeSettings
from raft.credentials import Credentials
from raft.passwords import read_password_file
from raft.settings import split_address

DIRECTORY_NAME: Final = "ray-tls"
"""Folder of the files, in a node's directory."""

OWN_NAMES: Final = ("127.0.0.1", "::1", "localhost")
"""Names by which processes of one machine may call one another."""

_AUTHORITY, _CERTIFICATE, _KEY = "RAY_TLS_CA_CERT", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY"


def tls_environment(directory: Path, settings: NodeSettings) -> Mapping[str, str]:
    """Write the files into a node's directory, and return the variables that name them; none on loopback.

    Raises:
        SettingsError: the password cannot be trusted, or read.
        CredentialsError: it is too short.
        ClusterError: the files cannot be written.
    """
    if is_loopback(settings.host):
        return {}
    password = read_password_file(Home(Path(settings.home)).password_path)
    host, _ = split_address(settings.address)
    made = Credentials.derive_for(group_name(settings.group_id), password, (host, *OWN_NAMES))
    place = directory / DIRECTORY_NAME
    contents = {_AUTHORITY: made.authority, _CERTIFICATE: made.certificate, _KEY: made.key}
    paths = {variable: place / f"{variable.removeprefix('RAY_TLS_').lower()}.pem" for variable in contents}
    try:
        make_directory(place)
        for variable, content in contents.items():
            replace_file(paths[variable], content)
    except OSError as error:
        raise ClusterError(f"{place} cannot be written: {error}; free space, or give it to who runs Tocsin") from error
    return {"RAY_USE_TLS": "1", **{variable: str(path) for variable, path in paths.items()}}


def caller_context(environment: Mapping[str, str]) -> ssl.SSLContext | None:
    """Return how a process with such variables calls Ray's; `None`: without TLS."""
    if _CERTIFICATE not in environment:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(environment[_AUTHORITY])
    context.load_cert_chain(environment[_CERTIFICATE], environment[_KEY])
    context.set_alpn_protocols(["h2"])
    return context
