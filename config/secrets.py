"""References to secrets: a job file holds none, since it travels through the group's log and is shown by commands."""

from typing import Annotated

from pydantic import AfterValidator

from config.base import fault

SECRET_PREFIXES = ("env:", "file:")
"""How a reference to a secret begins."""


def is_secret(text: str) -> bool:
    """Return whether a text says where a secret is."""
    return text.startswith(SECRET_PREFIXES) and text not in SECRET_PREFIXES


def _checked_secret(text: str) -> str:
    if not is_secret(text):
        raise fault((), "a job file holds no secrets: write `env:NAME` for a variable, or `file:PATH` for a file")
    return text


Secret = Annotated[str, AfterValidator(_checked_secret)]
"""Where a secret is: `env:NAME`, a variable of the process that needs it, or `file:PATH`."""
