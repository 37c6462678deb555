"""Generations: which of several copies of one shard is the current one, told by the copies themselves.

A shard carries a *generation*, from 1; whoever decides where shards are (the group) knows the current one. A copy with
a lower number may never be opened as the current one, however it came to be where it is. Beside the directory of a
shard, such as `0002`, may stand:

- `0002.generation-3`: the copy of generation 3. One that is older was put aside; one that has arrived for a move waits
  to become current, which nothing but opening it at its generation does;
- `0002.damaged-1`: files that were no shard any more, for people to look at;
- `0002.draft`, `0002.incoming`, `0002.outgoing-3`: unfinished copies, never opened.

Every step is one durable rename, so a crash between two leaves what the next opening goes on from.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from actors.files import make_directory
from actors.lmdb_file import DATA_FILE
from actors.shard.drafts import new_draft, publish_draft, remove_directory, rename_directory
from actors.shard.errors import ShardDamagedError, ShardLostError, shard_errors
from actors.shard.ownership import take_ownership
from actors.shard.shard import Shard


def copy_directory(directory: Path, generation: int) -> Path:
    """Return where the copy of a generation stands that is not the current one."""
    return directory.with_name(f"{directory.name}.generation-{generation}")


def copies_beside(directory: Path) -> Iterator[tuple[int, Path]]:
    """Yield generation and directory of all copies that stand beside the current one."""
    for path in sorted(directory.parent.glob(f"{directory.name}.generation-*")):
        number = path.name.rpartition("-")[2]
        if number.isascii() and number.isdigit():
            yield int(number), path


def unfinished_beside(directory: Path) -> Iterator[Path]:
    """Yield the unfinished copies that stand beside a shard, which a process that died has left or that one makes."""
    for path in directory.parent.glob(f"{directory.name}.*"):
        if path.name.partition(".")[2].startswith(("draft", "incoming", "outgoing-")):
            yield path


def open_generation(directory: Path, generation: int, **options: Any) -> Shard:
    """Open the shard of a directory at a generation: the copy that has it, else an empty one that is made.

    A copy of a lower generation is put aside. `options` are those of `Shard.open`, with an identifier.

    Raises:
        ShardLostError: the copy that is there is newer, or damaged and now put aside.
        ShardOwnedError: somebody has it open.
        ShardError: the directory cannot be used.
    """
    shard = _open_existing(directory, generation, options)
    if shard is not None:
        return shard
    with shard_errors(directory):
        arrived = copy_directory(directory, generation)
        if (arrived / DATA_FILE).exists():
            rename_directory(arrived, directory)
        else:
            make_directory(directory.parent)
            draft = new_draft(directory)
            made_of = {name: options[name] for name in ("identifier", "tables") if name in options}
            with Shard.open(draft, **made_of) as made:
                made.set_generation(generation)
            publish_draft(draft, directory)
    return Shard.open(directory, **options)


def open_at_rest(directory: Path, generation: int | None, **options: Any) -> Shard:
    """Open the shard of a directory, of a generation if one is given, and make none.

    Raises:
        ShardLostError: it is gone, damaged, or of another generation.
        ShardError: as in `Shard.open`.
    """
    if generation is not None and (copy_directory(directory, generation) / DATA_FILE).exists():
        return open_generation(directory, generation, **options)
    if not (directory / DATA_FILE).exists():
        raise ShardLostError(f"shard {directory} is gone")
    try:
        shard = Shard.open(directory, **options)
    except ShardDamagedError as error:
        raise ShardLostError(str(error)) from error
    if generation is None or shard.generation == generation:
        return shard
    stored = shard.generation
    shard.close()
    raise ShardLostError(f"shard {directory} has generation {stored}, and generation {generation} is the current one")


def open_standby(directory: Path, generation: int, **options: Any) -> Shard:
    """Open a second copy of a shard at a generation: one that has arrived at it, else what is there, else an empty one.

    A copy of a lower generation gets this one. It may lack rows, but has no others: whoever opens it feeds it from
    where it stands, and nobody else takes it for the shard before the group says so.

    Raises:
        ShardLostError, ShardOwnedError, ShardError: as in `open_generation`.
    """
    if (directory / DATA_FILE).exists() and not (copy_directory(directory, generation) / DATA_FILE).exists():
        try:
            shard = Shard.open(directory, **options)
        except ShardDamagedError:
            # It is put aside below.
            return open_generation(directory, generation, **options)
        if shard.generation <= generation:
            if shard.generation < generation:
                shard.set_generation(generation)
            return shard
        shard.close()
    return open_generation(directory, generation, **options)


def discard_below(directory: Path, generation: int) -> None:
    """Remove the shard of a directory and the copies beside it whose generation is lower, and unfinished ones.

    Raises:
        ShardOwnedError: the shard is open.
    """
    if (directory / DATA_FILE).exists():
        with Shard.open(directory) as shard:
            stored = shard.generation
        if stored < generation:
            _put_aside(directory, copy_directory(directory, stored))
    with shard_errors(directory):
        for older, path in list(copies_beside(directory)):
            if older < generation:
                remove_directory(path)
        for path in list(unfinished_beside(directory)):
            remove_directory(path)


def _open_existing(directory: Path, generation: int, options: dict[str, Any]) -> Shard | None:
    """Open what stands in a directory, if it is of the generation; put it aside if it is older, or no shard."""
    if not directory.exists():
        return None
    if not (directory / DATA_FILE).exists():
        _put_aside(directory, copy_directory(directory, 0))
        return None
    try:
        shard = Shard.open(directory, **options)
    except ShardDamagedError as error:
        aside = _free_name(directory)
        _put_aside(directory, aside)
        raise ShardLostError(f"{error}; put aside as {aside.name}") from error
    stored = shard.generation
    if stored == generation:
        return shard
    shard.close()
    if stored > generation:
        raise ShardLostError(
            f"shard {directory} has generation {stored}, but generation {generation} is the current one; it belongs to"
            " another group or another time: move it away, or restore the one that is wanted",
            generation=stored,
        )
    _put_aside(directory, copy_directory(directory, stored))
    return None


def _put_aside(directory: Path, aside: Path) -> None:
    with shard_errors(directory):
        # Whoever has it open must not find his files moved.
        ownership = take_ownership(directory)
        try:
            remove_directory(aside)
            rename_directory(directory, aside)
        finally:
            ownership.release()


def _free_name(directory: Path) -> Path:
    number = 1
    while (aside := directory.with_name(f"{directory.name}.damaged-{number}")).exists():
        number += 1
    return aside
