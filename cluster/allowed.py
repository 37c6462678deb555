"""Which files of a machine jobs may touch, as its node was told: known to all processes that the node starts."""

import os
from collections.abc import Mapping

from actors.allowed import EVERYTHING, AllowedPaths

ALLOWED_VARIABLE = "TOCSIN_ALLOWED_PATHS"
"""Environment variable with the folders, between colons; none, or an empty one, allows everything."""


def allowed_environment(folders: str) -> Mapping[str, str]:
    """Return the variable that says which folders, between colons, jobs may touch; empty means everything."""
    return {ALLOWED_VARIABLE: folders}


def allowed_here() -> AllowedPaths:
    """Return what this process may touch for a job."""
    folders = os.environ.get(ALLOWED_VARIABLE, "")
    return AllowedPaths.below(folders.split(os.pathsep)) if folders else EVERYTHING
