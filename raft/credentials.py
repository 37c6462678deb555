"""Credentials: what a node of a group proves itself with, made from the group's name and password and nothing else.

The password is the one root of trust. scrypt makes a key of it, which is the private key of the group's certificate
authority: whoever has the password makes the same authority, and signs a certificate of its own with it. So nodes need
to give each other nothing, and a node that shows a certificate of this authority has proved that it knows the password,
and of which group. Both sides of every connection ask for that, in TLS 1.3. Certificates say nothing: no names of
nodes, no addresses, and all are valid from 2020 to 9999, so that no clock keeps a node out.

The authority's key is forgotten when the node's certificate is signed. The node's own key is kept in a file
(`FILE_NAME`) that is encrypted under the password, so a start costs no second derivation, and is handed to OpenSSL,
which takes files only, encrypted under a password that is used once. Whoever is shown a certificate can try passwords
against it, at the price of one scrypt each: a password has to be long and random.
"""

import contextlib
import hashlib
import logging
import secrets
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from actors.files import make_directory, replace_file
from raft.errors import CredentialsError
from raft.passwords import check_password
from raft.passwords import read_password_file as read_password_file

log = logging.getLogger(__name__)

SERVER_NAME: Final = "node.invalid"
"""The name that every certificate is for and every caller asks for; it says nothing and exists nowhere."""

FILE_NAME: Final = "credentials"
"""Name of the file in which a node keeps its key and certificates, encrypted."""

_COST: Final = 1 << 15
"""scrypt's n for the authority's key, about 0.15 s."""

_FILE_COST: Final = 1 << 12
"""The same for the file's key, about 0.02 s; who can read the file has usually what it protects."""

_PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey
_FILE_VERSION: Final = b"\1"
_SALT_SIZE_BYTES: Final = 16
_NONCE_SIZE_BYTES: Final = 12


@dataclass(frozen=True, slots=True)
class Credentials:
    """A node's key and certificate, and the certificate of its group's authority."""

    authority: bytes
    """Certificate of the authority, PEM; the same for everybody with this group and password."""

    certificate: bytes
    """Certificate of the node, PEM."""

    key: bytes = field(repr=False)
    """Private key of the node, PEM."""

    @classmethod
    def derive(cls, group: str, password: str) -> Self:
        """Return new credentials of a group; takes about 0.15 s.

        Raises:
            CredentialsError: The password is too short.
        """
        return cls._derive(group, password, Ed25519PrivateKey.generate(), [SERVER_NAME])

    @classmethod
    def derive_for(cls, group: str, password: str, names: Sequence[str]) -> Self:
        """Return new credentials of a group for a program that callers reach by addresses and names, and look for them.

        The key is one of the curve P-256: gRPC's BoringSSL takes no other kind of ours in a handshake.

        Raises:
            CredentialsError: The password is too short.
        """
        return cls._derive(group, password, ec.generate_private_key(ec.SECP256R1()), names)

    @classmethod
    def _derive(cls, group: str, password: str, key: _PrivateKey, names: Sequence[str]) -> Self:
        # Takes long to import, and is needed once for each node.
        from raft.certificates import make_certificates

        check_password(password)
        authority_key = Ed25519PrivateKey.from_private_bytes(_stretched(_COST, b"authority", group, password))
        authority, certificate = make_certificates(authority_key, key, names)
        return cls(authority, certificate, _key_pem(key, serialization.NoEncryption()))

    @classmethod
    def load_or_derive(cls, directory: Path, group: str, password: str) -> Self:
        """Return the credentials that a directory keeps, or new ones when there are none or the password is another.

        The directory is made when missing. One process at a time may do this.

        Raises:
            CredentialsError: The password is too short, or the directory cannot be used.
        """
        check_password(password)
        path = directory / FILE_NAME
        try:
            make_directory(directory)
            with contextlib.suppress(FileNotFoundError):
                kept = cls._opened(path.read_bytes(), group, password)
                if kept is not None:
                    return kept
                log.warning("credentials made anew", extra={"path": str(path), "reason": "another password or damage"})
            made = cls.derive(group, password)
            replace_file(path, made._sealed(group, password))
        except OSError as error:
            raise CredentialsError(f"{path} cannot be used: {error}; choose another directory") from error
        return made

    @property
    def fingerprint(self) -> str:
        """What tells the authority of one password and group from that of another: twelve hexadecimal digits."""
        return hashlib.sha256(self.authority).hexdigest()[:12]

    def server_context(self) -> ssl.SSLContext:
        """Return the side that is called: TLS 1.3, and nobody without a certificate of the authority."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        # Tickets would let somebody come back who has proved nothing since.
        context.num_tickets = 0
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return the side that calls: TLS 1.3, and nobody without a certificate of the authority.

        Give `SERVER_NAME` as `server_hostname`, whatever the address is.
        """
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=self.authority.decode("ascii"))
        # On disk for a moment, and useless to whoever keeps it: the key is encrypted under what nobody else knows.
        once = secrets.token_bytes(32).hex()
        key = serialization.load_pem_private_key(self.key, None)
        assert isinstance(key, _PrivateKey)
        with tempfile.NamedTemporaryFile() as file:
            file.write(self.certificate + _key_pem(key, serialization.BestAvailableEncryption(once.encode())))
            file.flush()
            context.load_cert_chain(file.name, password=once)
        return context

    def _sealed(self, group: str, password: str) -> bytes:
        """Return these credentials as bytes that only the password opens."""
        salt, nonce = secrets.token_bytes(_SALT_SIZE_BYTES), secrets.token_bytes(_NONCE_SIZE_BYTES)
        plain = b"\0".join((self.authority, self.certificate, self.key))
        cipher = ChaCha20Poly1305(_stretched(_FILE_COST, salt, group, password))
        return _FILE_VERSION + salt + nonce + cipher.encrypt(nonce, plain, _FILE_VERSION)

    @classmethod
    def _opened(cls, data: bytes, group: str, password: str) -> Self | None:
        """Return the credentials in such bytes, or `None` when the password or the group is another."""
        if data[:1] != _FILE_VERSION or len(data) < 1 + _SALT_SIZE_BYTES + _NONCE_SIZE_BYTES:
            return None
        salt, rest = data[1 : 1 + _SALT_SIZE_BYTES], data[1 + _SALT_SIZE_BYTES :]
        cipher = ChaCha20Poly1305(_stretched(_FILE_COST, salt, group, password))
        try:
            plain = cipher.decrypt(rest[:_NONCE_SIZE_BYTES], rest[_NONCE_SIZE_BYTES:], _FILE_VERSION)
        except InvalidTag:
            return None
        return cls(*plain.split(b"\0"))


def _stretched(cost: int, salt: bytes, group: str, password: str) -> bytes:
    """Return a key made from a password by scrypt, another one for every group."""
    salt = b"tocsin/" + salt + b"/" + group.encode()
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, maxmem=1 << 26, dklen=32)


def _key_pem(key: _PrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
