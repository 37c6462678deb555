"""Settings of files that are on no machine of the cluster: where they are, as URLs, and how stores are reached."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, model_validator

from actors.allowed import is_url
from config.base import DurationSeconds, Settings, fault
from config.secrets import Secret, is_secret

OBJECT_SCHEMES = ("s3", "gs")
"""Beginnings of URLs of objects, which can be listed."""

WEB_SCHEMES = ("http", "https")
"""Beginnings of URLs of files that a web server gives, by their names alone."""

_SIGNATURES = ("x-amz-signature", "x-amz-credential", "x-goog-signature", "signature", "sig")
"""Names in a URL by which it is a secret itself."""

_SECRET_HEADERS = ("authorization", "cookie", "proxy-authorization")

_OWN_HEADERS = ("accept-encoding", "host", "if-match", "if-range", "range", "user-agent")


class StorageSettings(Settings):
    """How the store of a source's files is reached."""

    endpoint: str | None = None
    """Address of a store that speaks as S3 or Google Cloud Storage do; `None` means theirs."""

    region: str | None = Field(default=None, min_length=1)
    """Region of a bucket of S3; `None` is what the environment says."""

    anonymous: bool = False
    """Whether to say nothing of who asks, for what everybody may read."""

    key: Secret | None = None
    """Access key of S3; without, it is what the environment of the process says, as for other programs."""

    secret: Secret | None = None
    """Secret key of S3."""

    token: Secret | None = None
    """Session token of S3, or the key of a service account of Google as JSON."""

    headers: dict[str, str] = Field(default_factory=dict)
    """Headers of requests to a web server; values may be `env:NAME` or `file:PATH`, and those of who asks must."""

    ca: str | None = Field(default=None, min_length=1)
    """File of the certificates that vouch for a web server; `None` means those of the system."""

    timeout: Annotated[DurationSeconds, Field(gt=0)] = 30.0
    """Longest wait for an answer, or for the next bytes of one."""

    look_period: DurationSeconds = 5.0
    """How often to look whether there is more, at most; looks cost money at some stores."""

    @model_validator(mode="after")
    def _check_storage(self) -> "StorageSettings":
        if self.endpoint is not None and urlsplit(self.endpoint).scheme not in WEB_SCHEMES:
            raise fault(("endpoint",), f"{self.endpoint!r} is no address; write one like http://127.0.0.1:9000")
        if (self.key is None) != (self.secret is None):
            name = "secret" if self.secret is None else "key"
            raise fault((name,), f"`key` and `secret` belong together, and there is no `{name}`")
        if self.anonymous and (self.key is not None or self.token is not None):
            raise fault(("anonymous",), "who asks is said by `key` or `token`; leave them or `anonymous` out")
        for name, value in self.headers.items():
            if name.lower() in _OWN_HEADERS:
                raise fault(("headers", name), "this header follows from what is read; leave it out")
            if name.lower() in _SECRET_HEADERS and not is_secret(value):
                way = "write `env:NAME` for a variable, or `file:PATH` for a file"
                raise fault(("headers", name), f"a job file holds no secrets: {way}")
            if not name or any(not 32 < ord(letter) < 127 or letter == ":" for letter in name):
                raise fault(("headers", name), f"{name!r} cannot be the name of a header")
            if any(ord(letter) < 32 or ord(letter) > 126 for letter in value):
                raise fault(("headers", name), f"{value!r} holds letters that no header can; write printable ASCII")
        return self


_OF_SCHEME: Mapping[str, tuple[str, ...]] = {
    "s3": ("endpoint", "region", "anonymous", "key", "secret", "token"),
    "gs": ("endpoint", "anonymous", "token"),
    "http": ("headers", "ca"),
    "https": ("headers", "ca"),
}
"""What can be said of a store, by the beginning of its URLs, besides times."""


def scheme_of(path: str) -> str:
    """Return how a URL begins, in small letters; empty for a path of a machine."""
    return path.partition("://")[0].lower() if is_url(path) else ""


def path_of(text: str) -> str:
    """Return the path of a file as it names the file: of a URL without what stands behind a question mark."""
    return urlsplit(text).path if scheme_of(text) in WEB_SCHEMES else text


def check_urls(paths: Sequence[str], storage: StorageSettings | None) -> None:
    """Check where files are, and what is said of their store.

    Raises:
        SettingError: they are in several stores, or a URL or a setting cannot be used.
    """
    schemes = {scheme_of(path) for path in paths}
    if len(schemes) > 1:
        raise fault(("path",), "files of one source are all on machines, or all in one kind of store")
    scheme = next(iter(schemes), "")
    if not scheme:
        if storage is not None:
            raise fault(("storage_options",), "the files are on machines; leave it out, or give URLs as `path`")
        return
    if scheme not in _OF_SCHEME:
        raise fault(("path",), f"{scheme}:// is not read; use one of {', '.join(f'{one}://' for one in _OF_SCHEME)}")
    for path in paths:
        _check_url(path, scheme)
    for name in ("endpoint", "region", "anonymous", "key", "secret", "token", "headers", "ca"):
        if name not in _OF_SCHEME[scheme] and storage is not None and getattr(storage, name) not in (None, False, {}):
            raise fault(("storage_options", name), f"`{name}` means nothing to {scheme}://; leave it out")


def _check_url(url: str, scheme: str) -> None:
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or any(ord(letter) < 33 or ord(letter) == 127 for letter in url if letter != " "):
        raise fault(("path",), f"{url!r} is no URL; write one like {scheme}://place/folder/rows.csv")
    if parts.username is not None or parts.password is not None:
        raise fault(("path",), "a job file holds no secrets: say who asks by `storage_options`, not in the URL")
    if ".." in parts.path.lower().replace("%2e", ".").split("/"):
        raise fault(("path",), f"{url!r} goes up by `..`; write where it leads to")
    if scheme in WEB_SCHEMES:
        if "*" in parts.path or parts.path.endswith("/") or not parts.path:
            raise fault(("path",), f"{url!r}: a web server lists no files; name each file")
        if any(name.lower() in _SIGNATURES for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
            way = "give `headers: {Authorization: env:NAME}`, or s3:// and gs:// with `storage_options`"
            raise fault(("path",), f"a job file holds no secrets, and this URL is signed: {way}")
