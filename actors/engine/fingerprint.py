"""The fingerprint of an engine: a hash of everything that its state and its output depend on."""

import hashlib
import re
from typing import Any

import msgpack

from actors.engine.arguments import CheckedSettings
from actors.engine.episodes.episode import Lifecycle


def fingerprint_of(settings: CheckedSettings) -> str:
    """Return the hash; what is off by default has no part in it, so that snapshots outlive new settings."""
    schema = settings.schema
    parts: dict[str, Any] = {
        "metrics": [_hashed_text(metric.text) for metric in settings.metrics],
        "time_column": settings.time_column,
        "key_columns": list(settings.key_columns),
        "columns": [[column.name, str(column.type)] for column in schema.columns],
        "window": _window_parts(settings),
        "nulls": settings.nulls,
    }
    clears = [one.clear for one in settings.lifecycles if one is not None and one.clear is not None]
    named = sorted({pair for metric in (*settings.metrics, *clears) for pair in metric.parts})
    if named:
        parts["let"] = [[name, text] for name, text in named]
    if settings.max_lateness:
        parts["max_lateness"] = settings.max_lateness
    if settings.ticks_close_windows:
        parts["ticks_close_windows"] = True
    if settings.idle_key_ttl:
        parts["idle_key_ttl"] = settings.idle_key_ttl
    lifecycles = [None if one is None or one.is_implied else _lifecycle_parts(one) for one in settings.lifecycles]
    if any(one is not None for one in lifecycles):
        parts["lifecycles"] = lifecycles
    packed: bytes = msgpack.packb(parts)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()


def _window_parts(settings: CheckedSettings) -> list[Any]:
    grid = settings.grid
    if grid is None:
        return [None, None, settings.round_time]
    found: list[Any] = [grid.window_size, grid.step, settings.round_time]
    if grid.computes_empty:
        found.append("zero")
    if grid.calendar is not None:
        return [*found, grid.calendar.unit, grid.calendar.zone, grid.calendar.offset_us]
    if grid.tells_start:
        return [*found, "rows" if grid.counts_rows else "gap"]
    return [*found, grid.offset] if grid.offset else found


_NOT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\b(not) (\()|(?<=[-+!:=])(not )(?!\()""", re.IGNORECASE)


def _hashed_text(text: str) -> str:
    """Return a metric's text with the spaces around `not` that it once had, so that older snapshots are known."""
    return _NOT.sub(lambda found: found[1] or (f"{found[2]}{found[3]}" if found[2] else f" {found[4]}"), text)


def _lifecycle_parts(rule: Lifecycle) -> list[Any]:
    return [rule.hold, rule.keep_firing, rule.clear and _hashed_text(rule.clear.text)]
