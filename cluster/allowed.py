"""Which files of a machine jobs may touch, as its node was told: known to all processes that the node starts."""

import os
from collections.abc import Mapping, Sequence

from actors.allowed import EVERYTHING, AllowedPaths, is_url

ALLOWED_VARIABLE = "TOCSIN_ALLOWED_PATHS"
"""Environment variable with the folders and URLs, between colons; none, or an empty one, allows everything."""

_COLON = "%3A"
"""What stands for the colons of a URL there."""


def joined(names: Sequence[str]) -> str:
    """Return folders and URLs between colons."""
    return os.pathsep.join(name.replace(":", _COLON) if is_url(name) else name for name in names)


def parted(text: str) -> list[str]:
    """Return the folders and URLs that stand between colons."""
    parts = [part for part in text.split(os.pathsep) if part]
    # No folder has two slashes in a row.
    return [part.replace(_COLON, ":") if f"{_COLON}//" in part else part for part in parts]


def allowed_environment(folders: str) -> Mapping[str, str]:
    """Return the variable that says which folders, between colons, jobs may touch; empty means everything."""
    return {ALLOWED_VARIABLE: folders}


def allowed_here() -> AllowedPaths:
    """Return what this process may touch for a job."""
    folders = os.environ.get(ALLOWED_VARIABLE, "")
    return AllowedPaths.below(parted(folders)) if folders else EVERYTHING
