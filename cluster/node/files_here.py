"""Whether the files of a job's source are on this node, as far as that can be told without opening them.

What a store has is not looked for: only whether this node lets jobs read it.
"""

import glob
import os
from collections.abc import Sequence

from actors.allowed import AllowedPaths, is_url


def missing_here(paths: Sequence[str], allowed: AllowedPaths) -> str | None:
    """Return why files, folders or patterns cannot be read here, or `None` when each is there."""
    for path in paths:
        refusal = allowed.refusal(path)
        if refusal is not None:
            return refusal
        if is_url(path):
            continue
        found = glob.glob(path, recursive=True) if glob.has_magic(path) else [path] * os.path.exists(path)
        if not found:
            return f"{path} is not there"
        closed = next((one for one in found if not os.access(one, os.R_OK)), None)
        if closed is not None:
            return f"{closed} is there and may not be read"
    return None
