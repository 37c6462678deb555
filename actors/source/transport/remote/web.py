"""Files that a web server gives: by ranges where it can, else from the beginning on.

A server that ignores ranges answers with all of the file, which is read as a stream then, once as long as positions
only grow. Redirects are followed by hand: each place must be one that a job may read, none leads from https to http,
and what says who asks is not sent to another server.
"""

import logging
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from actors.source.transport.remote.store import Look, MovedOnError, RemoteMissingError

T = TypeVar("T")

# What is tried again is said once, by the error after the last try, and not with each.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

_REDIRECT_COUNT_MAX = 5
_STREAM_COUNT_MAX = 2
_SKIP_SIZE_BYTES = 1 << 20

RETRIES = urllib3.Retry(
    total=5,
    status_forcelist=(429, 500, 502, 503, 504),
    backoff_factor=0.2,
    backoff_jitter=0.2,
    backoff_max=10,
    retry_after_max=30,
    raise_on_status=False,
    raise_on_redirect=False,
)
"""How often a request is tried again, and the seconds between; what fails then is tried again by who runs the job."""

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(slots=True, kw_only=True)
class _Stream:
    """An answer with all of a file, of which some was read."""

    look: Look
    position: int
    response: urllib3.BaseHTTPResponse


class WebStore:
    """Files of web servers, asked for with some headers; `ca` vouches for the servers in place of the system."""

    def __init__(self, headers: Mapping[str, str], ca: str | None, timeout_s: float, allowed: AllowedPaths) -> None:
        self._headers = {"User-Agent": "tocsin", "Accept-Encoding": "identity"}
        self._secrets = dict(headers)
        self._allowed = allowed
        try:
            context = ssl.create_default_context(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise SourceError(f"the certificates of `storage_options.ca`, {ca}, cannot be used: {error}") from error
        self._pool = urllib3.PoolManager(num_pools=8, maxsize=2, timeout=timeout_s, ssl_context=context)
        self._streams: dict[str, _Stream] = {}

    def look(self, url: str) -> Look:
        """Return what the server says of a file, asked for its first byte."""
        response = self._ask(url, (0, 0))
        try:
            place = _place(response)
            if response.status == 416 and place is not None and place[1] == 0:
                return Look(size_bytes=0, tag=_tag(response))
            if response.status == 206 and place is not None and place[1] is not None:
                return Look(size_bytes=place[1], tag=_tag(response))
            if response.status != 200:
                raise _refused(url, response)
            length = response.headers.get("Content-Length", "")
            if not length.isdecimal():
                raise SourceError(
                    f"{url}: the server neither gives parts of the file nor says how long it is; save it, and read the "
                    "copy"
                )
            return Look(size_bytes=int(length), tag=_tag(response), has_ranges=False)
        finally:
            # What is left of an answer is not waited for.
            response.close()

    def read(self, url: str, look: Look, position: int, size: int) -> tuple[bytes, Look]:
        """Return so many bytes of the file of a look, or of the longer one that it has become."""
        if not look.has_ranges:
            return self._patiently(url, lambda: self._read_on(url, look, position, size)), look
        return self._patiently(url, lambda: self._read_range(url, look, position, size))

    def find(self, text: str, suffixes: Sequence[str]) -> list[str]:
        """Return the URL itself: a web server gives no list."""
        del suffixes
        return [text]

    def close(self) -> None:
        """Close connections; a second call does nothing."""
        for stream in self._streams.values():
            stream.response.close()
        self._streams.clear()
        self._pool.clear()

    def _patiently(self, url: str, read: Callable[[], T]) -> T:
        """Return what a call reads, which begins anew when the connection is lost in the middle."""
        retries = RETRIES
        while True:
            try:
                return read()
            except (HTTPError, OSError) as error:
                try:
                    retries = retries.increment("GET", url, error=error)
                except HTTPError:
                    raise _unreachable(url, error) from error
                retries.sleep()

    def _read_range(self, url: str, look: Look, position: int, size: int) -> tuple[bytes, Look]:
        response = self._ask(url, (position, position + size - 1))
        try:
            place = _place(response)
            if response.status in (200, 416):
                raise MovedOnError(f"{url}: the server does not give the part of the file that it had at the last look")
            if response.status != 206 or place is None:
                raise _refused(url, response)
            first, total = place
            now = Look(size_bytes=look.size_bytes if total is None else total, tag=_tag(response))
            if now != look and now.size_bytes <= look.size_bytes:
                raise MovedOnError(f"{url}: the file was replaced while it was read")
            if first != position:
                raise SourceError(f"{url}: the server gives bytes from {first} on in place of {position}")
            data = response.read(size)
        finally:
            if response.length_remaining:
                response.close()
            response.release_conn()
        if len(data) != size:
            raise ProtocolError(f"the answer breaks off after {len(data)} of {size} bytes from {position} on")
        return data, now

    def _read_on(self, url: str, look: Look, position: int, size: int) -> bytes:
        stream = self._streams.pop(url, None)
        if stream is None or stream.look != look or stream.position > position:
            if stream is not None:
                stream.response.close()
            stream = self._begin(url, look)
        try:
            while stream.position < position:
                self._take(stream, min(_SKIP_SIZE_BYTES, position - stream.position))
            data = self._take(stream, size)
        except BaseException:
            stream.response.close()
            raise
        if stream.position < look.size_bytes:
            self._streams[url] = stream
            while len(self._streams) > _STREAM_COUNT_MAX:
                self._streams.pop(next(iter(self._streams))).response.close()
        else:
            stream.response.release_conn()
        return data

    def _begin(self, url: str, look: Look) -> _Stream:
        response = self._ask(url, None)
        length = response.headers.get("Content-Length", "")
        if response.status != 200 or _tag(response) != look.tag or length != str(look.size_bytes):
            error = _refused(url, response) if response.status != 200 else None
            response.close()
            raise error or MovedOnError(f"{url}: the file was replaced, or has grown, while it was read")
        return _Stream(look=look, position=0, response=response)

    def _take(self, stream: _Stream, size: int) -> bytes:
        data = stream.response.read(size)
        if len(data) != size:
            given = stream.position + len(data)
            raise ProtocolError(f"the answer breaks off after {given} of {stream.look.size_bytes} bytes")
        stream.position += size
        return data

    def _ask(self, url: str, part: tuple[int, int] | None) -> urllib3.BaseHTTPResponse:
        """Return the answer to a request for a part of a file, or all of it; its body is to be read."""
        target = url
        for _ in range(_REDIRECT_COUNT_MAX + 1):
            headers = dict(self._headers)
            if _origin(target) == _origin(url):
                headers |= self._secrets
            if part is not None:
                headers["Range"] = f"bytes={part[0]}-{part[1]}"
            try:
                response = self._pool.urlopen(
                    "GET",
                    target,
                    headers=headers,
                    redirect=False,
                    retries=RETRIES,
                    preload_content=False,
                    decode_content=False,
                )
            except (HTTPError, OSError) as error:
                raise _unreachable(url, error) from error
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or location is None:
                return response
            response.close()
            target = self._checked(url, target, urljoin(target, location))
        raise SourceError(f"{url}: the server sends elsewhere more than {_REDIRECT_COUNT_MAX} times")

    def _checked(self, url: str, before: str, after: str) -> str:
        scheme = urlsplit(after).scheme
        if scheme not in ("http", "https") or (scheme == "http" and urlsplit(before).scheme == "https"):
            raise SourceError(f"{url}: the server sends to {after}, which is not followed; name that if it is meant")
        refusal = self._allowed.refusal(after)
        if refusal is not None:
            raise SourceError(f"{url}: the server sends to {after}: {refusal}")
        return after


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _tag(response: urllib3.BaseHTTPResponse) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def _place(response: urllib3.BaseHTTPResponse) -> tuple[int, int | None] | None:
    """Return the first byte that an answer has and the length of the file, as far as the answer says."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None:
        return None
    return int(found[1] or 0), None if found[3] == "*" else int(found[3])


def _refused(url: str, response: urllib3.BaseHTTPResponse) -> SourceError:
    if response.status in (404, 410):
        return RemoteMissingError(f"{url}: there is no such file (the server answers {response.status})")
    if response.status in (401, 403):
        return SourceError(
            f"{url}: the server does not let this job read it (it answers {response.status}); say who asks by "
            "`storage_options: {headers: {Authorization: env:NAME}}`"
        )
    return SourceError(f"{url}: the server answers {response.status} {response.reason or ''}".rstrip())


def _unreachable(url: str, error: Exception) -> SourceError:
    inner = getattr(error, "reason", None) or error
    reason = re.sub(r"^[<\w.]*HTTPS?Connection.*?\)>?: ", "", str(inner)) or type(inner).__name__
    return SourceError(f"{url}: cannot be read now, tried {RETRIES.total} times: {reason}")
