"""Files that are objects of a store, S3 or Google Cloud Storage, by way of fsspec."""

import glob
from collections.abc import Sequence
from typing import Any

from actors.errors import SourceError
from actors.source.transport.remote.store import Look, MovedOnError, RemoteMissingError
from config.sources import without_packing


class ObjectStore:
    """Objects of a file system of fsspec, whose URLs begin with a scheme; the system tries again by itself."""

    def __init__(self, system: Any, scheme: str) -> None:
        self._system = system
        self._scheme = f"{scheme}://"

    def look(self, url: str) -> Look:
        """Return what the store says of an object."""
        found = self._info(url)
        if found is None or found.get("type") != "file":
            raise RemoteMissingError(f"{url}: there is no such object")
        return _look(found)

    def read(self, url: str, look: Look, position: int, size: int) -> tuple[bytes, Look]:
        """Return so many bytes of the object of a look."""
        try:
            data = bytes(self._system.cat_file(self._key(url), start=position, end=position + size))
        except Exception as error:
            if self._info(url) is None or _is_range_error(error):
                raise MovedOnError(f"{url}: the object was replaced while it was read") from error
            raise _failed(url, error) from error
        # It was the same object all the time if it still is: what is in an object never changes.
        if self.look(url) != look:
            raise MovedOnError(f"{url}: the object was replaced while it was read")
        if len(data) != size:
            raise SourceError(f"{url}: the store gives {len(data)} of {size} bytes from {position} on")
        return data, look

    def find(self, text: str, suffixes: Sequence[str]) -> list[str]:
        """Return the URLs of objects that a URL, a folder or a pattern stands for."""
        try:
            self._system.invalidate_cache()
            if glob.has_magic(text):
                keys = self._system.glob(self._key(text))
            else:
                found = None if text.endswith("/") else self._info(text)
                if found is not None and found.get("type") == "file":
                    return [text]
                below = self._system.find(self._key(text).rstrip("/"), maxdepth=1)
                keys = [key for key in below if without_packing(key).lower().endswith(tuple(suffixes))]
        except FileNotFoundError:
            return []
        except SourceError:
            raise
        except Exception as error:
            raise _failed(text, error) from error
        return [f"{self._scheme}{key}" for key in keys if not key.endswith("/")]

    def close(self) -> None:
        """Do nothing: the client ends with the process."""

    def _key(self, url: str) -> str:
        return url[len(self._scheme) :]

    def _info(self, url: str) -> dict[str, Any] | None:
        """Return what the store says of what is at a URL, `None` when there is nothing."""
        try:
            self._system.invalidate_cache()
            found: dict[str, Any] = self._system.info(self._key(url))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise _failed(url, error) from error
        return found


def _look(found: dict[str, Any]) -> Look:
    parts = [found.get(name) for name in ("VersionId", "generation", "ETag", "etag", "md5Hash")]
    return Look(size_bytes=int(found["size"]), tag=" ".join(str(part) for part in parts if part not in (None, "null")))


def _is_range_error(error: Exception) -> bool:
    return "InvalidRange" in str(error) or "416" in str(error)


def _failed(url: str, error: Exception) -> SourceError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PermissionError):
        return SourceError(
            f"{url}: the store does not let this job read it ({reason}); say who asks by `storage_options`, or by the "
            "environment of the process"
        )
    return SourceError(f"{url}: cannot be read now: {reason}")
