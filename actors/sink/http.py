"""Posting JSON to one address in bounded time, and what is said when that does not work."""

import re
import ssl
from collections.abc import Mapping

import urllib3

from actors.errors import SinkError

_ANSWER_SIZE_MAX = 200
"""Letters of a receiver's answer that an error shows."""


class Poster:
    """Posts to one address; `sink` is the identity of who does, `ca` the file that vouches for the receiver."""

    def __init__(self, sink: str, url: str, headers: Mapping[str, str], timeout_s: float, ca: str | None) -> None:
        self._sink = sink
        self._url = url
        self._headers = {"Content-Type": "application/json", "User-Agent": "tocsin", **headers}
        self._timeout_s = timeout_s
        self._ca = ca
        self._pool: urllib3.PoolManager | None = None

    def post(self, body: bytes, what: str, headers: Mapping[str, str] | None = None) -> None:
        """Post a body, of which `what` says for people what it is; the receiver has it when it returns.

        Raises:
            SinkError: it cannot be reached, or answers anything but 2xx.
        """
        try:
            answer = self._open().request("POST", self._url, body=body, headers={**self._headers, **(headers or {})})
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SinkError(
                f"sink {self._sink}: no answer: {_reason(error)}. It is tried again; what comes waits"
            ) from error
        if not 200 <= answer.status < 300:
            said = " ".join(answer.data[: 4 * _ANSWER_SIZE_MAX].decode("utf-8", "replace").split())
            said = f": {said[:_ANSWER_SIZE_MAX]}" if said else ""
            raise SinkError(
                f"sink {self._sink}: the receiver answers {answer.status} to {what}{said}. It is tried again; what "
                "comes after it waits. Put the address, the headers or the receiver right"
            )

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    def _open(self) -> urllib3.PoolManager:
        if self._pool is None:
            try:
                context = ssl.create_default_context(cafile=self._ca)
            except (OSError, ssl.SSLError) as error:
                raise SinkError(f"sink {self._sink}: {self._ca} cannot be used: {error}") from error
            # Redirects are answers like others: who follows them sends alarms where nobody said.
            self._pool = urllib3.PoolManager(
                num_pools=1, maxsize=1, retries=False, timeout=self._timeout_s, ssl_context=context
            )
        return self._pool


def _reason(error: Exception) -> str:
    """Return the reason of an error without the objects that are printed in it."""
    inner = getattr(error, "reason", None) or error
    # Before the reason stands the object that failed: `HTTPConnection(host=..., port=...): `.
    return re.sub(r"^[<\w.]*HTTPS?Connection.*?\)>?: ", "", str(inner))
