"""Passwords: what one has to be, and what has to be true of its file before it is believed.

Apart from `raft.credentials`, which takes long to import, because every command looks at a file with a secret.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from raft.errors import CredentialsError

PASSWORD_LENGTH_MIN: Final = 16
"""Characters that a password has at least."""

HOW_TO_MAKE: Final = "make one with `openssl rand -hex 32`"

PASSWORD_SIZE_BYTES_MAX: Final = 4096
"""Bytes that are read of a password's file, which has to have fewer."""


def distrust(found: os.stat_result) -> str:
    """Return why a file with a secret cannot be trusted; empty when it is a plain file that we alone can use."""
    if not stat.S_ISREG(found.st_mode):
        return "is no plain file"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, not to {os.geteuid()}"
    if found.st_mode & 0o077:
        return f"can be used by others (mode {stat.S_IMODE(found.st_mode):04o})"
    return "" if found.st_size else "is empty"


def make_password() -> str:
    """Return a random password."""
    return secrets.token_hex(32)


def check_password(password: str) -> None:
    """Refuse a password that can be guessed by its length.

    Raises:
        CredentialsError: With the way out.
    """
    if len(password) < PASSWORD_LENGTH_MIN:
        raise CredentialsError(
            f"the password has {len(password)} characters, needed are {PASSWORD_LENGTH_MIN}; {HOW_TO_MAKE}"
        )


def read_password_file(path: Path) -> str:
    """Return the password in a file that nobody else can read or has chosen; white space around it does not count.

    Raises:
        CredentialsError: With the way out.
    """
    problem, data = _read_secret(path)
    if problem:
        raise CredentialsError(
            f"the password file {path} {problem}; it has to be a plain file of your own with mode 0600, {HOW_TO_MAKE}"
        )
    try:
        if len(data) >= PASSWORD_SIZE_BYTES_MAX:
            raise CredentialsError(f"it has {PASSWORD_SIZE_BYTES_MAX} bytes or more; {HOW_TO_MAKE}")
        password = data.decode("utf-8").strip()
        check_password(password)
    except UnicodeDecodeError as error:
        raise CredentialsError(f"the password file {path} is no text; {HOW_TO_MAKE}") from error
    except CredentialsError as error:
        raise CredentialsError(f"the password file {path} cannot be used: {error}") from error
    return password


def _read_secret(path: Path) -> tuple[str, bytes]:
    """Return why a file cannot be trusted, empty when it can, and what it holds then."""
    try:
        # Not through a link, and not waiting for who writes to a pipe; what was opened is what is looked at.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return "is no plain file" if path.is_symlink() else f"cannot be read ({error.strerror})", b""
    try:
        problem = distrust(os.fstat(descriptor))
        return problem, b"" if problem else os.read(descriptor, PASSWORD_SIZE_BYTES_MAX)
    except OSError as error:
        return f"cannot be read ({error.strerror})", b""
    finally:
        os.close(descriptor)
