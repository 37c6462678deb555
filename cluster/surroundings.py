"""What the sources and sinks of jobs may use of a process: what it was started with, and the time."""

import os
import random
import sys
import time

from actors.allowed import EVERYTHING, AllowedPaths
from actors.sink.open import SinkPlaces
from actors.source.surroundings import FeedPlaces, Surroundings
from cluster.allowed import allowed_here


def surroundings_here(stdin: int | None = None) -> Surroundings:
    """Return what the source of a job may use of this process: its variables, and its standard input if it is given."""
    return Surroundings(stdin=stdin, environment=os.environ, now_s=time.monotonic)


def feed_places_here(allowed: AllowedPaths = EVERYTHING) -> FeedPlaces:
    """Return what a feed may use of this process."""
    return FeedPlaces(
        environment=os.environ, now_us=lambda: time.time_ns() // 1000, random=random.random, allowed=allowed
    )


def sink_places_here(*, has_stdout: bool = False) -> SinkPlaces:
    """Return what the sinks of a job may use of this process, its standard output where it has one for results."""
    return SinkPlaces(
        allowed=allowed_here(),
        environment=os.environ,
        now_s=lambda: int(time.time()),
        print_line=_print_line if has_stdout else None,
    )


def _print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
