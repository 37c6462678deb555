"""Ports of this machine: free ones, and whether those that are wanted are free."""

import errno
import socket
from collections.abc import Mapping

from cluster.errors import ClusterError


def check_free(addresses: Mapping[str, str]) -> None:
    """Refuse addresses at which something listens.

    Raises:
        ClusterError: with whose address it is, and the way out.
    """
    for name, address in addresses.items():
        host, port = address.rsplit(":", 1)
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((host, int(port)))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise _not_here(host, error) from error
                raise ClusterError(
                    f"{address}, the address of {name}, is in use ({error.strerror}); end what listens there, "
                    "or start another group with --group"
                ) from error


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Return ports of an address of this machine that nobody has just now.

    Raises:
        ClusterError: it is none.
    """
    sockets = [socket.socket() for _ in range(count)]
    try:
        for candidate in sockets:
            try:
                candidate.bind((host, 0))
            except OSError as error:
                raise _not_here(host, error) from error
        return [int(candidate.getsockname()[1]) for candidate in sockets]
    finally:
        for candidate in sockets:
            candidate.close()


def _not_here(host: str, error: OSError) -> ClusterError:
    return ClusterError(f"{host} is no address of this machine ({error.strerror}); `ip addr` lists them")
