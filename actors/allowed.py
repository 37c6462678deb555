"""Which files of its machine a job may touch: everything, or what lies below some folders. Pure but for links.

A path counts as what it leads to, so a link inside does not open what is outside.
"""

import glob
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AllowedPaths:
    """What may be touched."""

    folders: tuple[Path, ...] | None = None
    """Folders, as they are without links; `None` means everything."""

    @classmethod
    def below(cls, folders: Iterable[str | Path]) -> "AllowedPaths":
        """Allow what lies below these folders, and themselves."""
        return cls(tuple(Path(folder).resolve() for folder in folders))

    def refusal(self, path: str | Path) -> str | None:
        """Return why a path or a pattern of paths may not be touched, or `None` when it may."""
        if self.folders is None:
            return None
        real = Path(_fixed_part(str(path))).resolve()
        if any(real.is_relative_to(folder) for folder in self.folders):
            return None
        names = ", ".join(map(str, self.folders)) or "nothing"
        found = str(path) if str(real) == str(path) else f"{path} ({real})"
        return (
            f"{found} may not be touched by a job: this node allows {names}. Put it there, or start the node with "
            f"`--allow-path {real if real.is_dir() else real.parent}`"
        )


EVERYTHING = AllowedPaths()


def _fixed_part(pattern: str) -> str:
    """Return a path up to the first of its parts that is a pattern."""
    if not glob.has_magic(pattern):
        return pattern
    parts = Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return str(Path(*parts[:first]))
