"""Secrets of jobs, read where they are needed: a job says by `env:NAME` or `file:PATH` where one is."""

from collections.abc import Mapping
from pathlib import Path

from actors.allowed import AllowedPaths
from actors.errors import TocsinError

SECRET_SIZE_BYTES_MAX = 64 << 10
"""Bytes of a file with a secret."""


class SecretError(TocsinError):
    """A secret or a file is not there, or may not be read; the message says where it should be."""


def read_secret(what: str, reference: str, allowed: AllowedPaths, environment: Mapping[str, str]) -> str:
    """Return the secret that a reference names; `what` is the setting that has it, for people.

    Raises:
        SecretError: it is not there, or may not be read.
    """
    kind, _, place = reference.partition(":")
    if kind == "file":
        return read_private(place, f"the file of {what}", allowed).decode(errors="replace").strip("\r\n")
    if place not in environment:
        raise SecretError(
            f"the variable {place} of {what} is not set in the process that needs it; set it before `tocsin run`, or "
            "before the node is started"
        )
    return environment[place]


def read_private(path: str, what: str, allowed: AllowedPaths) -> bytes:
    """Return the bytes of a small file that a job names.

    Raises:
        SecretError: it cannot be read, or may not be.
    """
    refusal = allowed.refusal(path)
    if refusal is not None:
        raise SecretError(refusal)
    try:
        with Path(path).open("rb") as file:
            return file.read(SECRET_SIZE_BYTES_MAX)
    except OSError as error:
        raise SecretError(f"{what}, {path}, cannot be read: {error.strerror or error}") from error
