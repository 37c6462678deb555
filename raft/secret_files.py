"""Secret files: what has to be true of a file before a secret in it is believed."""

import os
import stat
from pathlib import Path
from typing import Final

SECRET_SIZE_BYTES_MAX: Final = 4096
"""Bytes that are read of a secret; a file with more is cut there."""


def distrust(found: os.stat_result) -> str:
    """Return why a file with a secret cannot be trusted; empty when it is a plain file that we alone can use."""
    if not stat.S_ISREG(found.st_mode):
        return "is no plain file"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}, not to {os.geteuid()}"
    if found.st_mode & 0o077:
        return f"can be used by others (mode {stat.S_IMODE(found.st_mode):04o})"
    return "" if found.st_size else "is empty"


def read_secret(path: Path) -> tuple[str, bytes]:
    """Return why a file cannot be trusted, empty when it can, and what it holds then."""
    try:
        # Not through a link, and not waiting for who writes to a pipe; what was opened is what is looked at.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        return "is no plain file" if path.is_symlink() else f"cannot be read ({error.strerror})", b""
    try:
        problem = distrust(os.fstat(descriptor))
        return problem, b"" if problem else os.read(descriptor, SECRET_SIZE_BYTES_MAX)
    except OSError as error:
        return f"cannot be read ({error.strerror})", b""
    finally:
        os.close(descriptor)
