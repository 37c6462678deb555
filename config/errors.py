"""Errors of the job file.

The tree::

    TocsinError
    └── ConfigError             a job file that cannot be read, or settings that cannot be used
    ValueError
    └── SettingError            one value that cannot be used; `config.load` gathers them in a `ConfigError`
"""

from dataclasses import dataclass

from actors.errors import TocsinError

Path = tuple[str | int, ...]
"""Keys and positions that lead to a value."""

PROBLEM_COUNT_MAX = 100
"""Mistakes that one message lists; of others it tells the number."""


class SettingError(ValueError):
    """One value that cannot be used: its path below the settings that raise this, and a sentence with the way out."""

    def __init__(self, path: Path, text: str, *, meant_key: str | None = None, meant_value: str | None = None) -> None:
        super().__init__(text)
        self.path = path
        self.text = text
        self.meant_key = meant_key
        """The key that was most likely meant by the last one of the path."""
        self.meant_value = meant_value
        """The value that was most likely meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a job file."""

    path: str
    """Faulty key, such as `window.step` or `metrics[1]`; empty for the file as a whole."""

    line: int | None
    """Line in the file, from 1; `None` when it is not known."""

    text: str
    """What is wrong and the way out; may have several lines."""

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line is not None else ""
        place = f"{self.path} ({where})" if self.path and where else self.path or where
        return f"{place}: {self.text}" if place else self.text


class ConfigError(TocsinError):
    """A job file that cannot be used; `problems` lists everything that is wrong with it."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message, problems)
        self.problems = problems

    def __str__(self) -> str:
        return str(self.args[0])


def problems_error(name: str, problems: tuple[Problem, ...]) -> ConfigError:
    """Return the error that lists the problems of one job file."""
    lines = [f"{name}: {problem}" for problem in problems[:PROBLEM_COUNT_MAX]]
    more = len(problems) - len(lines)
    return ConfigError("\n".join([*lines, f"{name}: and {more} more"] if more else lines), problems)
