"""The certificates of a group: that of its authority, and those which it signs for nodes."""

import datetime
import ipaddress
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_VALID_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)

_PrivateKey = Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def make_certificates(authority_key: Ed25519PrivateKey, key: _PrivateKey, names: Sequence[str]) -> tuple[bytes, bytes]:
    """Return the certificate of the authority with a key, and one that it signs for another key and some names, as PEM.

    Names are host names or addresses.
    """
    authority = _authority(authority_key)
    certificate = _signed(_builder("node", key), list(map(_general_name, names)), authority_key, authority)
    return _pem(authority), _pem(certificate)


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
