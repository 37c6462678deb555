"""How a broker is reached: the secrets and files that a job only refers to, where its source is read."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from config.brokers import KafkaSource, NatsSource, RedisSource, secrets_of

SECRET_SIZE_BYTES_MAX = 64 << 10
"""Bytes of a file with a secret."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BrokerAccess:
    """How a broker is reached, with the secrets themselves."""

    secrets: Mapping[str, str]
    """By the names of their settings."""

    tls: ssl.SSLContext | None
    """Of clients that speak TLS by Python."""


def broker_access(
    source: KafkaSource | NatsSource | RedisSource, allowed: AllowedPaths, environment: Mapping[str, str]
) -> BrokerAccess:
    """Return how the broker of a source is reached.

    Raises:
        SourceError: a secret or a file is not there, or may not be read.
    """
    security = source.security
    for name in ("ca", "certificate", "key", "credentials"):
        path = getattr(security, name, None)
        if path is not None:
            _read(path, f"the file of `security.{name}`", allowed)
    secrets = {name: _secret(name, reference, allowed, environment) for name, reference in secrets_of(source).items()}
    is_tls_here = isinstance(source, NatsSource) and security.tls
    return BrokerAccess(secrets=secrets, tls=_tls(source) if is_tls_here else None)


def _secret(name: str, reference: str, allowed: AllowedPaths, environment: Mapping[str, str]) -> str:
    kind, _, place = reference.partition(":")
    if kind == "file":
        return _read(place, f"the file of `security.{name}`", allowed).decode(errors="replace").strip("\r\n")
    if place not in environment:
        raise SourceError(
            f"the variable {place} of `security.{name}` is not set in the process that reads the source; set it before "
            "`tocsin run`, or before the node is started"
        )
    return environment[place]


def _read(path: str, what: str, allowed: AllowedPaths) -> bytes:
    refusal = allowed.refusal(path)
    if refusal is not None:
        raise SourceError(refusal)
    try:
        with Path(path).open("rb") as file:
            return file.read(SECRET_SIZE_BYTES_MAX)
    except OSError as error:
        raise SourceError(f"{what}, {path}, cannot be read: {error.strerror or error}") from error


def _tls(source: KafkaSource | NatsSource | RedisSource) -> ssl.SSLContext:
    security = source.security
    try:
        context = ssl.create_default_context(cafile=security.ca)
        if security.certificate is not None:
            context.load_cert_chain(security.certificate, security.key)
    except (OSError, ssl.SSLError) as error:
        raise SourceError(f"the certificates of `security` cannot be used: {error}") from error
    return context
