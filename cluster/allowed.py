"""What jobs have of a process: which files they may touch, as its node was told, and what it was started with."""

import os
import time
from collections.abc import Mapping

from actors.allowed import EVERYTHING, AllowedPaths
from actors.sink.open import SinkPlaces
from actors.source.surroundings import Surroundings

ALLOWED_VARIABLE = "TOCSIN_ALLOWED_PATHS"
"""Environment variable with the folders, between colons; none, or an empty one, allows everything."""


def allowed_environment(folders: str) -> Mapping[str, str]:
    """Return the variable that says which folders, between colons, jobs may touch; empty means everything."""
    return {ALLOWED_VARIABLE: folders}


def allowed_here() -> AllowedPaths:
    """Return what this process may touch for a job."""
    folders = os.environ.get(ALLOWED_VARIABLE, "")
    return AllowedPaths.below(folders.split(os.pathsep)) if folders else EVERYTHING


def surroundings_here(stdin: int | None = None) -> Surroundings:
    """Return what the source of a job may use of this process: its variables, and its standard input if it is given."""
    return Surroundings(stdin=stdin, environment=os.environ)


def sink_places_here() -> SinkPlaces:
    """Return what the sinks of a job may use of this process."""
    return SinkPlaces(allowed=allowed_here(), environment=os.environ, now_s=lambda: int(time.time()))
