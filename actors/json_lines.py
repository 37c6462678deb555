"""Records as lines of JSON, one form for sinks and for what commands print."""

import json
from collections.abc import Mapping
from typing import Any

_OTHER_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Letters that some programs take for the end of a line."""


def json_line(record: Mapping[str, Any]) -> str:
    """Return a record as a line of JSON, without its end; half of a surrogate pair becomes an escape."""
    text = json.dumps(record, default=str, ensure_ascii=False).translate(_OTHER_LINE_ENDS)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
