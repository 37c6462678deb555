"""Drafts: directories of shards that appear under their names only when they are whole and on disk.

A crash before the rename leaves a draft, which the next one replaces; nobody opens it.
"""

import os
import shutil
from pathlib import Path

from actors.files import make_directory, sync_directory
from actors.open_files import LOCK_FILE
from actors.shard.ownership import OWNER_FILE


def new_draft(directory: Path) -> Path:
    """Return a new place in which to make what shall stand in a directory."""
    draft = directory.with_name(f"{directory.name}.draft")
    remove_directory(draft)
    make_directory(draft)
    return draft


def publish_draft(draft: Path, directory: Path) -> None:
    """Let a closed shard stand in a directory that is new or empty, durably, without the files of its opening."""
    for name in (LOCK_FILE, OWNER_FILE):
        (draft / name).unlink(missing_ok=True)
    sync_directory(draft)
    rename_directory(draft, directory)


def rename_directory(source: Path, target: Path) -> None:
    """Give a directory another name, that of nothing or of an empty directory, durably."""
    os.rename(source, target)
    sync_directory(target.parent)


def remove_directory(directory: Path) -> None:
    """Remove a directory with all that is in it, if there is one."""
    if directory.exists():
        shutil.rmtree(directory)
