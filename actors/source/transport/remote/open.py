"""Opening the store of a source's files."""

import json
from typing import Any

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from actors.extras import need
from actors.secrets import SecretError, read_private, read_secret
from actors.source.surroundings import Surroundings
from actors.source.transport.remote.objects import ObjectStore
from actors.source.transport.remote.store import CachedStore, RemoteStore
from actors.source.transport.remote.web import WebStore
from config.remote import StorageSettings, scheme_of
from config.secrets import is_secret
from config.sources import FileSource

_CONNECT_TIMEOUT_S = 10
_TRY_COUNT = 5


def open_store(source: FileSource, allowed: AllowedPaths, around: Surroundings) -> RemoteStore:
    """Return the store that has the files of a source.

    Raises:
        SourceError: a package or a secret is missing, or a file may not be read.
    """
    settings = source.storage_options or StorageSettings()
    scheme = scheme_of(source.paths[0])
    for path in (*source.paths, *([settings.endpoint] if settings.endpoint else [])):
        refusal = allowed.refusal(path)
        if refusal is not None:
            raise SourceError(refusal)
    try:
        secrets = {
            name: read_secret(f"`storage_options.{name}`", reference, allowed, around.environment)
            for name, reference in _references(settings).items()
        }
        if settings.ca is not None:
            read_private(settings.ca, "the file of `storage_options.ca`", allowed)
    except SecretError as error:
        raise SourceError(str(error)) from error
    return CachedStore(_opened(scheme, settings, secrets, allowed), around.now_s, settings.look_period)


def _references(settings: StorageSettings) -> dict[str, str]:
    given = {name: getattr(settings, name) for name in ("key", "secret", "token")}
    headers = {f"headers.{name}": value for name, value in settings.headers.items() if is_secret(value)}
    return {name: value for name, value in given.items() if value is not None} | headers


def _opened(scheme: str, settings: StorageSettings, secrets: dict[str, str], allowed: AllowedPaths) -> RemoteStore:
    if scheme == "s3":
        return ObjectStore(_s3(settings, secrets), scheme)
    if scheme == "gs":
        return ObjectStore(_gs(settings, secrets), scheme)
    headers = {name: secrets.get(f"headers.{name}", value).strip() for name, value in settings.headers.items()}
    return WebStore(headers, settings.ca, settings.timeout, allowed)


def _s3(settings: StorageSettings, secrets: dict[str, str]) -> Any:
    (s3fs,) = need("s3", SourceError)
    client = {} if settings.region is None else {"region_name": settings.region}
    waits = {"connect_timeout": min(_CONNECT_TIMEOUT_S, settings.timeout), "read_timeout": settings.timeout}
    return s3fs.S3FileSystem(
        anon=settings.anonymous,
        key=secrets.get("key"),
        secret=secrets.get("secret"),
        token=secrets.get("token"),
        endpoint_url=settings.endpoint,
        client_kwargs=client,
        config_kwargs={**waits, "retries": {"mode": "standard", "max_attempts": _TRY_COUNT}},
        use_listings_cache=False,
        skip_instance_cache=True,
    )


def _gs(settings: StorageSettings, secrets: dict[str, str]) -> Any:
    (gcsfs,) = need("gs", SourceError)
    token: Any = "anon" if settings.anonymous else None
    if "token" in secrets:
        try:
            token = json.loads(secrets["token"])
        except ValueError as error:
            raise SourceError(f"`storage_options.token` is no JSON, the key of a service account: {error}") from error
    # The class that the package names asks by gRPC first of what kind a bucket is, and hangs where nobody answers that.
    return gcsfs.core.GCSFileSystem(
        token=token,
        endpoint_url=settings.endpoint,
        requests_timeout=settings.timeout,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
