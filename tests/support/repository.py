"""The repository as the tests of itself see it: its root, its tracked files, its Python modules."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("actors", "cluster", "config", "raft")


@cache
def _tracked_names() -> tuple[str, ...]:
    """Return the names git tracks, relative to the root; none when this is no git work tree."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(name for name in listed.stdout.split("\0") if name)


def tracked_files() -> list[Path]:
    """Return the files of the repository that exist, or skip the test outside a git work tree."""
    if not _tracked_names():
        pytest.skip("needs a git work tree and the command git")
    return [ROOT / name for name in _tracked_names() if (ROOT / name).is_file()]


def python_files(*folders: str) -> list[Path]:
    """Return the tracked Python files below some folders of the root, or all of them."""
    return [
        path
        for path in tracked_files()
        if path.suffix == ".py" and (not folders or path.relative_to(ROOT).parts[0] in folders)
    ]


def shown(path: Path) -> str:
    """Return a path as a failing test shows it."""
    return str(path.relative_to(ROOT))


def documentation() -> str:
    """Return the text of all pages in `docs/`."""
    return "\n".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))
