"""Lines of the notes that sources keep beside what they read: a JSON object each, with a checksum of its fields."""

import json
import zlib
from collections.abc import Mapping
from typing import Any


def note_line(fields: Mapping[str, Any]) -> bytes:
    """Return the line of some fields."""
    return json.dumps({**fields, "checksum": checksum(fields)}).encode() + b"\n"


def checksum(fields: Mapping[str, Any]) -> int:
    """Return the checksum of fields, in whichever order they stand."""
    return zlib.crc32(json.dumps(fields, sort_keys=True).encode())
