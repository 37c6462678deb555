"""A receiver of webhooks on loopback: a real HTTP server that keeps what it was sent, and fails as it is asked to."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Posted:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """What the body says."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came; `answer` is asked for the status of each request, `None` ends the connection without one."""

    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    """All requests that were answered with 2xx, in order."""

    seen_count: int = 0
    answer: Callable[[int], int | None] = lambda _: 204

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    def deduplicated(self) -> list[Posted]:
        """Return what a receiver keeps that knows records by their `Idempotency-Key`."""
        kept: dict[str, Posted] = {}
        for one in self.posted:
            kept.setdefault(one.headers["idempotency-key"], one)
        return list(kept.values())


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver while the block does."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.seen_count += 1
            status = receiver.answer(receiver.seen_count)
            if status is None:
                self.close_connection = True
                return
            if 200 <= status < 300:
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.posted.append(Posted(path=self.path, headers=headers, body=body))
            self.send_response(status)
            content = b"" if status == 204 else b"this is why"
            self.send_header("Content-Length", str(len(content)))
            if status in (301, 302, 307, 308):
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
