"""Where a file is: a path of this machine, or a URL."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from actors.allowed import is_url


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """A URL, with what is asked of a path in many places."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def name(self) -> str:
        """The name of the file, without folders."""
        parts = urlsplit(self.text)
        if parts.scheme in ("http", "https"):
            return unquote(parts.path).rsplit("/", 1)[-1]
        # Names of objects are what they are: they may hold percent signs and question marks.
        return self.text.rsplit("/", 1)[-1]


FilePlace: TypeAlias = Path | RemoteUrl
"""Where a file is."""


def place_of(text: str) -> FilePlace:
    """Return the place that a text names."""
    return RemoteUrl(text) if is_url(text) else Path(text)
