"""A web server with files that it gives by ranges, or not, and with the faults of others."""

import email.utils
import hashlib
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FileServer:
    """What a server gives, and how; everything may be changed while it runs."""

    files: dict[str, bytes] = field(default_factory=dict)
    """By path, which begins with a slash."""

    has_ranges: bool = True
    tags: str = "etag"
    """What tells one file from another: `etag`, `date` or `none`."""

    drops: list[int] = field(default_factory=list)
    """Bytes after which connections break off, one for each answer with a file."""

    statuses: list[int] = field(default_factory=list)
    """What is answered in place of files, one for each request."""

    redirects: dict[str, str] = field(default_factory=dict)
    extra_length: int = 0
    """Bytes that the length of an answer says too many."""

    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Paths and headers that were asked for."""

    sent_bytes: int = 0
    on_request: Any = None
    """Called with the path before each answer."""

    port: int = 0

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        place = self.server.place
        place.requests.append((self.path, dict(self.headers)))
        if place.on_request is not None:
            place.on_request(self.path)
        if place.statuses:
            self._answer(place.statuses.pop(0), b"no\n", {})
            return
        if self.path in place.redirects:
            self._answer(302, b"", {"Location": place.redirects[self.path]})
            return
        content = place.files.get(self.path)
        if content is None:
            self._answer(404, b"nothing\n", {})
            return
        headers = {}
        if place.tags == "etag":
            headers["ETag"] = f'"{hashlib.md5(content).hexdigest()}"'
        elif place.tags == "date":
            headers["Last-Modified"] = email.utils.formatdate(1_700_000_000 + len(content), usegmt=True)
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not place.has_ranges or part is None:
            self._answer(200, content, headers)
            return
        first, last = int(part[1]), min(int(part[2]), len(content) - 1)
        if first >= len(content):
            self._answer(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
            return
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._answer(206, content[first : last + 1], headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        place = self.server.place
        is_file = status in (200, 206)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (place.extra_length if is_file else 0)))
        self.end_headers()
        drop = place.drops.pop(0) if is_file and len(body) > 1 and place.drops else None
        with suppress(OSError):
            self.wfile.write(body[:drop])
            place.sent_bytes += len(body[:drop])
        if drop is not None or place.extra_length:
            self.close_connection = True

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    place: FileServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers that go away."""


@contextmanager
def serving(place: FileServer) -> Iterator[FileServer]:
    """Serve as long as the context lasts."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.place, place.port = place, int(server.server_address[1])
    assert isinstance(server, socketserver.TCPServer)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield place
    finally:
        server.shutdown()
        server.server_close()
