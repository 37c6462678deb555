"""Credentials for tests, each made once in a process because it takes long, and TLS handshakes in memory."""

import datetime
import functools
import ssl
from unittest import mock

from raft.credentials import SERVER_NAME, Credentials

PASSWORD = "a password for tests"


@functools.cache
def credentials(group: str = "g", password: str = PASSWORD) -> Credentials:
    """Return credentials of a group."""
    return Credentials.derive(group, password)


def credentials_until(year: int) -> Credentials:
    """Return credentials of the right authority whose certificate is valid until the end of a year only."""
    with mock.patch("raft.certificates._VALID_UNTIL", datetime.datetime(year, 12, 31, tzinfo=datetime.UTC)):
        short = Credentials.derive("g", PASSWORD)
    return Credentials(credentials().authority, short.certificate, short.key)


class Side:
    """One side of a TLS connection without a network."""

    def __init__(self, context: ssl.SSLContext, *, is_server: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = None if is_server else SERVER_NAME
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=is_server, server_hostname=name)
        self.is_ready = False

    def shake(self) -> None:
        """Do what is possible of the handshake."""
        try:
            self.tls.do_handshake()
            self.is_ready = True
        except ssl.SSLWantReadError:
            pass


def shaken(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[Side, Side]:
    """Return the caller and who is called, after the handshake.

    Raises:
        SSLError: One of them refuses the other.
    """
    caller, called = Side(client, is_server=False), Side(server, is_server=True)
    while not (caller.is_ready and called.is_ready):
        for one, other in ((caller, called), (called, caller)):
            one.shake()
            other.incoming.write(one.outgoing.read())
    return caller, called
