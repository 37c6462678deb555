"""What all commands share: where results and remarks go."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import click

T = TypeVar("T")

ALL = 1 << 40
"""More records than a job ever keeps: what `--limit 0` means."""


def limit_option(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option that bounds what is printed; it means the same for every command."""
    kind = click.IntRange(min=0, max=ALL)
    return click.option("--limit", default=default, show_default=True, type=kind, help="At most so many; 0: all.")


def say(text: str) -> None:
    """Print a remark, which is no result."""
    click.echo(text, err=True)


def say_lines(lines: Iterable[str]) -> None:
    """Print remarks, a line for each."""
    for line in lines:
        say(line)


def say_written(path: Path | None, count: int, what: str) -> None:
    """Say what is in a file that was written."""
    if path is not None:
        say(f"{count} {what} are in {path}")


def limited(ask: Callable[[int], Sequence[T]], limit: int, what: str) -> Sequence[T]:
    """Return at most `limit` records (0: all) of what is asked for; say it when there are more."""
    found = ask(limit + 1 if limit else ALL)
    if not limit or len(found) <= limit:
        return found
    say(f"more {what} follow; --limit 0 prints all")
    return found[:limit]


def show(text: str) -> None:
    """Print a result; no records are no lines."""
    click.echo(text, nl=bool(text))


def now_us() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000
