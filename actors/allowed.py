"""Which files a job may touch: everything, or what lies below some folders and some URLs. Pure but for links.

A path counts as what it leads to, so a link inside does not open what is outside. Allowing folders allows no URL.
"""

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_url(text: str) -> bool:
    """Return whether a text says where something is that is on no machine."""
    return _SCHEME.match(text) is not None


@dataclass(frozen=True, slots=True)
class AllowedPaths:
    """What may be touched."""

    folders: tuple[Path, ...] | None = None
    """Folders, as they are without links; `None` means everything."""

    urls: tuple[str, ...] = ()
    """URLs besides, each with what is below it."""

    @classmethod
    def below(cls, folders: Iterable[str | Path]) -> "AllowedPaths":
        """Allow what lies below these folders and URLs, and themselves."""
        names = [str(folder) for folder in folders]
        urls = tuple(name for name in names if is_url(name))
        return cls(tuple(Path(name).resolve() for name in names if not is_url(name)), urls)

    def refusal(self, path: str | Path) -> str | None:
        """Return why a path or a pattern of paths may not be touched, or `None` when it may."""
        if self.folders is None:
            return None
        if isinstance(path, str) and is_url(path):
            return self._url_refusal(path)
        real = Path(_fixed_part(str(path))).resolve()
        if any(real.is_relative_to(folder) for folder in self.folders):
            return None
        names = ", ".join(map(str, self.folders)) or "nothing"
        found = str(path) if str(real) == str(path) else f"{path} ({real})"
        return (
            f"{found} may not be touched by a job: this node allows {names}. Put it there, or start the node with "
            f"`--allow-path {real if real.is_dir() else real.parent}`"
        )

    def _url_refusal(self, url: str) -> str | None:
        if any(_is_below(url, one) for one in self.urls):
            return None
        names = ", ".join(self.urls) or "no URL"
        return (
            f"{url} may not be read by a job: this node allows {names}. Start the node with `--allow-path "
            f"{url[: url.rfind('/')] if url.count('/') > 2 else url}`"
        )


EVERYTHING = AllowedPaths()


def _is_below(url: str, allowed: str) -> bool:
    """Return whether a URL is another one or below it."""
    try:
        one, other = urlsplit(url), urlsplit(allowed)
        ports = [parts.port or _PORTS.get(parts.scheme) for parts in (one, other)]
    except ValueError:
        return False
    path, top = unquote(one.path), unquote(other.path).rstrip("/")
    is_same_place = (one.scheme, one.hostname, ports[0]) == (other.scheme, other.hostname, ports[1])
    is_plain = one.username is None and ".." not in path.split("/") and "\\" not in path
    return is_same_place and is_plain and (path == top or path.startswith(f"{top}/"))


_PORTS = {"http": 80, "https": 443}


def _fixed_part(pattern: str) -> str:
    """Return a path up to the first of its parts that is a pattern."""
    if not glob.has_magic(pattern):
        return pattern
    parts = Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return str(Path(*parts[:first]))
