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
import datetime
import hashlib
import ipaddress
import logging
import secrets
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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
_VALID_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_VALID_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


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
        return cls._derive(group, password, Ed25519PrivateKey.generate(), [x509.DNSName(SERVER_NAME)])

    @classmethod
    def derive_for(cls, group: str, password: str, names: Sequence[str]) -> Self:
        """Return new credentials of a group for a program that callers reach by addresses and names, and look for them.

        The key is one of the curve P-256: gRPC's BoringSSL takes no other kind of ours in a handshake.

        Raises:
            CredentialsError: The password is too short.
        """
        return cls._derive(group, password, ec.generate_private_key(ec.SECP256R1()), list(map(_general_name, names)))

    @classmethod
    def _derive(cls, group: str, password: str, key: _PrivateKey, names: Sequence[x509.GeneralName]) -> Self:
        check_password(password)
        authority_key = Ed25519PrivateKey.from_private_bytes(_stretched(_COST, b"authority", group, password))
        authority = _authority(authority_key)
        certificate = _signed(_builder("node", key), names, authority_key, authority)
        return cls(_pem(authority), _pem(certificate), _key_pem(key, serialization.NoEncryption()))

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


def _authority(key: Ed25519PrivateKey) -> x509.Certificate:
    """Return the authority's certificate; the same key gives the same bytes."""
    builder = _builder("authority", key).issuer_name(_name("authority")).serial_number(1)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return builder.sign(key, None)


def _signed(
    builder: x509.CertificateBuilder,
    names: Sequence[x509.GeneralName],
    by: Ed25519PrivateKey,
    authority: x509.Certificate,
) -> x509.Certificate:
    """Return a node's certificate, for some names."""
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage(both), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False),
    )
    builder = builder.issuer_name(authority.subject).serial_number(x509.random_serial_number())
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(by, None)


def _builder(role: str, key: _PrivateKey) -> x509.CertificateBuilder:
    """Return what both kinds of certificates begin with."""
    return (
        x509.CertificateBuilder()
        .subject_name(_name(role))
        .public_key(key.public_key())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _general_name(name: str) -> x509.GeneralName:
    """Return an address or a name as certificates hold it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(role: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, role)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: _PrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
