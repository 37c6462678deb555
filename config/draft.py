"""All mistakes of a job at once: what is wrong is noted and taken out of the data, and the rest is looked at again.

A *draft* is the data of a job from which faulty values were taken, or put right where it is clear what was meant. It
knows where each remaining part stood in the file. What follows from a mistake that was noted is no mistake of its own,
so faults at, above or below a known one are left out, and so is what mentions a column whose type is not known.
"""

import copy
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from actors.model import ColumnType
from actors.nearness import nearest
from config.errors import Path, SettingError
from config.faults import has, locate
from config.sources import brings_log, with_type

_STAND_INS: Mapping[Path, Any] = {
    ("job",): "job",
    ("schema",): {"time": "TIMESTAMP"},
    ("source",): {"type": "inline", "rows": []},
    ("window",): {"size": 1},
    ("ticks",): 1,
}
"""What takes the place of a faulty value that a job, or other settings of it, cannot be without."""

_TYPES = tuple(str(kind) for kind in ColumnType)


class Draft:
    """Data of a job from which faults are taken one after the other; `faults` are those found, by their old places."""

    def __init__(self, data: Mapping[str, Any], faults: Iterable[SettingError] = ()) -> None:
        self.data: dict[str, Any] = dict(data)
        self.faults: list[SettingError] = []
        self._removed: dict[Path, list[int]] = {}
        self._renamed: dict[Path, str] = {}
        self._doubtful: list[str] = []
        self._is_own = False
        self._had_metrics = _has_any(data.get("metrics"))
        source = with_type(data.get("source"))
        self._brings_columns = isinstance(source, Mapping) and (
            source.get("type") == "host_metrics" or brings_log(source)
        )
        self.take_out(list(faults))

    @property
    def knows_columns(self) -> bool:
        """Whether metrics and the like can be looked at: the columns and the time are what the file says."""
        places = [one.path for one in self.faults]
        if ("schema",) in places or (("time",) in places and "time" not in self.data):
            return False
        brings_columns = ((), ("type",), ("templates",), ("format",))
        return "schema" in self.data or not any(("source", *rest) in places for rest in brings_columns)

    def take_out(self, faults: Sequence[SettingError]) -> bool:
        """Note faults that are not known yet and take them all out of the data; return whether that changed any."""
        if faults and not self._is_own:
            self.data, self._is_own = copy.deepcopy(self.data), True
        found = {locate(one.path, self.data): one for one in faults}
        rooms = {path[0] for path in (*found, *(one.path for one in self.faults)) if path}
        for path, one in found.items():
            if not self._lacks_by_another(path, rooms):
                self._note(path, one)
        # From the last to the first, so that positions in a list stay right.
        paths = sorted(found, key=lambda path: [(isinstance(part, int), part) for part in path], reverse=True)
        changes = [self._take_out(path, found[path]) for path in paths]
        return any(changes)

    def _note(self, path: Path, one: SettingError) -> None:
        place = self._origin(path)
        shown = str(self._value(path[:2]))
        is_doubtful = any(re.search(rf"\b{re.escape(name)}\b", shown, re.IGNORECASE) for name in self._doubtful)
        # What stands below a misspelt key is looked at as if it had been spelt well.
        known = (other.path for other in self.faults if other.meant_key is None)
        follows = any(place[: len(other)] == other or other[: len(place)] == place for other in known)
        if not follows and not (is_doubtful and path[:1] != ("schema",)):
            self.faults.append(SettingError(place, one.text, meant_key=one.meant_key))

    def _lacks_by_another(self, place: Path, rooms: Container[str | int]) -> bool:
        """Return whether something is missing alone because of another fault; `rooms` are the first keys of all."""
        if place == ("metrics",):
            # What is faulty, or of a column that is, is something to do all the same.
            is_meant = self._had_metrics or any(key in rooms for key in ("detectors", "events", "absent"))
            return not _has_any(self.data.get("metrics")) and is_meant
        needs_policy = place[-1:] in (("inhibited_by",), ("policy",))
        if needs_policy and "notifications" not in self.data and "notifications" in rooms:
            # The policy that they need is there, but faulty.
            return True
        is_missing = place in (("schema",), ("time",)) and place[0] not in self.data
        return is_missing and "source" in rooms and self._brings_columns

    def _origin(self, path: Path) -> Path:
        """Return where a part of the data stood before others were taken out."""
        place: list[str | int] = []
        for number, part in enumerate(path):
            if isinstance(part, int):
                for index in sorted(self._removed.get(path[:number], ())):
                    part += index <= part
            place.append(self._renamed.get(path[: number + 1], part))
        return tuple(place)

    def _value(self, path: Path) -> Any:
        value: Any = self.data
        for part in path:
            value = value[part] if has(value, part) else None
        return value

    def _take_out(self, path: Path, one: SettingError) -> bool:
        if not path:
            return False
        parent, leaf = self._value(path[:-1]), path[-1]
        if not has(parent, leaf):
            return self._put(path) or self._take_out(path[:-1], one)
        if one.meant_value is not None:
            parent[leaf] = one.meant_value
        elif leaf == "type" or (path[:1] == ("schema",) and len(path) == 2):
            return self._replace_type(path) if path[0] == "schema" else self._take_out(path[:-1], one)
        elif isinstance(parent, list) and isinstance(leaf, int):
            self._removed.setdefault(path[:-1], []).append(self._origin(path)[-1])  # type: ignore[arg-type]
            del parent[leaf]
        elif isinstance(leaf, str) and not self._put(path):
            value = parent.pop(leaf)
            if one.meant_key is not None and one.meant_key not in parent:
                parent[one.meant_key] = value
                self._renamed[*path[:-1], one.meant_key] = leaf
        return True

    def _put(self, path: Path) -> bool:
        """Put something that can be used in the place of what a job must have."""
        stand_in = self._first_time() if path == ("time",) else _STAND_INS.get(path)
        known = self.data.get(str(path[0]))
        if stand_in is None or (isinstance(known, type(stand_in)) and known == stand_in):
            return False
        self.data[str(path[0])] = copy.deepcopy(stand_in)
        return True

    def _first_time(self) -> str | None:
        types = self.data.get("schema")
        pairs = types.items() if isinstance(types, Mapping) else ()
        known = {str(kind) for kind in ColumnType if kind.is_temporal}
        return next((name for name, kind in pairs if str(kind).upper() in known), None)

    def _replace_type(self, path: Path) -> bool:
        name = str(path[1])
        kind = str(self._value(path))
        if kind.upper() in _TYPES:
            return False
        meant = nearest(kind, _TYPES)
        if meant is None:
            self._doubtful.append(name)
        is_time = name.lower() == str(self.data.get("time", "")).lower()
        self.data["schema"][name] = meant or ("TIMESTAMP" if is_time else "STRING")
        return True


def _has_any(value: object) -> bool:
    """Return whether there is anything in a value; frames and the like do not say whether they are true."""
    return isinstance(value, str | list | tuple | dict) and len(value) > 0
