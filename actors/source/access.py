"""How a broker is reached: the secrets and files that a job only refers to, where its source is read."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from actors.secrets import SecretError, read_private, read_secret
from config.brokers import KafkaSource, NatsSource, RedisSource, SecuritySettings, secrets_of
from config.push import HttpSource, MqttSource, SyslogSource


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class BrokerAccess:
    """How a broker is reached, or senders reach a source, with the secrets themselves."""

    secrets: Mapping[str, str]
    """By the names of their settings."""

    tls: ssl.SSLContext | None
    """Of what speaks TLS by Python."""


def listen_access(
    source: HttpSource | SyslogSource, allowed: AllowedPaths, environment: Mapping[str, str]
) -> BrokerAccess:
    """Return how senders reach a source that listens.

    Raises:
        SourceError: a secret or a file is not there, or may not be read.
    """
    security = source.security
    try:
        for name in ("ca", "certificate", "key"):
            path = getattr(security, name)
            if path is not None:
                read_private(path, f"the file of `security.{name}`", allowed)
        secrets = {
            name: read_secret(f"`security.{name}`", reference, allowed, environment)
            for name, reference in secrets_of(source).items()
        }
    except SecretError as error:
        raise SourceError(str(error)) from error
    if security.certificate is None:
        return BrokerAccess(secrets=secrets, tls=None)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(security.certificate, security.key)
        if security.ca is not None:
            context.load_verify_locations(security.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise SourceError(f"the certificates of `security` cannot be used: {error}") from error
    return BrokerAccess(secrets=secrets, tls=context)


class Secured(Protocol):
    """Settings of a source or sink of which a server wants to know who it is."""

    @property
    def security(self) -> SecuritySettings:
        """How to log in."""


def broker_access(
    source: KafkaSource | NatsSource | RedisSource | MqttSource, allowed: AllowedPaths, environment: Mapping[str, str]
) -> BrokerAccess:
    """Return how the broker of a source is reached.

    Raises:
        SourceError: a secret or a file is not there, or may not be read.
    """
    try:
        return access_of(source, allowed, environment, has_tls=isinstance(source, NatsSource | MqttSource))
    except SecretError as error:
        raise SourceError(str(error)) from error


def access_of(place: Secured, allowed: AllowedPaths, environment: Mapping[str, str], *, has_tls: bool) -> BrokerAccess:
    """Return how a server is reached; `has_tls` says whether its client speaks TLS by Python.

    Raises:
        SecretError: a secret or a file is not there, or may not be read.
        SourceError: certificates cannot be used.
    """
    security = place.security
    for name in ("ca", "certificate", "key", "credentials"):
        path = getattr(security, name, None)
        if path is not None:
            read_private(path, f"the file of `security.{name}`", allowed)
    secrets = {
        name: read_secret(f"`security.{name}`", reference, allowed, environment)
        for name, reference in secrets_of(place).items()
    }
    # A URL may say it too.
    is_tls = security.tls or getattr(place, "is_tls", False)
    return BrokerAccess(secrets=secrets, tls=_tls(security) if has_tls and is_tls else None)


def _tls(security: SecuritySettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=security.ca)
        if security.certificate is not None:
            context.load_cert_chain(security.certificate, security.key)
    except (OSError, ssl.SSLError) as error:
        raise SourceError(f"the certificates of `security` cannot be used: {error}") from error
    return context
