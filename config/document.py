"""The text of a job file as plain data, together with the line of every key.

YAML, read by the rules of its newer version: only `true` and `false` are Booleans, and dates, times and words such as
`no` stay text. A key that is given twice is a fault, and so are tags and values that cannot be read; documents whose
aliases would unfold without end are refused.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from config.errors import ConfigError, Path, Problem, SettingError, problems_error

NODE_COUNT_MAX = 1_000_000
DEPTH_MAX = 50


_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"


_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class _Loader(yaml.SafeLoader):
    """Safe loader with fewer implicit types."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", "tTfF"),
    ("null", r"(?:~|null|Null|NULL|)", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.yaml_implicit_resolvers[""] = _Loader.yaml_implicit_resolvers.pop("\0")


@dataclass(slots=True)
class Document:
    """Plain data of a job file and where each value stands."""

    name: str
    """Name of the file, for messages."""

    data: Any = None
    """Mappings, lists, strings, numbers, Booleans and `None`."""

    lines: dict[Path, int] = field(default_factory=dict)
    """Line of the key (or list item) at each path, from 1."""

    faults: list[SettingError] = field(default_factory=list)
    """What is wrong with the text itself; `data` is what is right."""

    def line_of(self, path: Path) -> int | None:
        """Return the line of the value at a path, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def error(self, faults: Iterable[SettingError]) -> ConfigError:
        """Return the error that lists faults in the order of their lines."""
        found = [Problem(path=format_path(one.path), line=self.line_of(one.path), text=one.text) for one in faults]
        return problems_error(self.name, tuple(sorted(found, key=lambda problem: problem.line or 0)))


def read_document(text: str, name: str) -> Document:
    """Return the data of a file.

    Raises:
        ConfigError: something is wrong with the text.
    """
    document = scan_document(text, name)
    if document.faults:
        raise document.error(document.faults)
    return document


def scan_document(text: str, name: str) -> Document:
    """Return what can be read of a file, and the faults of its text.

    Raises:
        ConfigError: no YAML, or an endless structure.
    """
    document = Document(name)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        text = f"this is no YAML: {error.problem or error.context}"
        raise problems_error(name, (Problem(path="", line=mark.line + 1 if mark else None, text=text),)) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{name}: this is no YAML: {error}") from error
    if root is not None:
        document.data = _Builder(document).build(root, ())
    return document


class _Builder:
    """Turns YAML nodes into plain data and notes their lines."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._node_count = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._node_count += 1
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if self._node_count > NODE_COUNT_MAX or len(path) > DEPTH_MAX:
            raise self._error(path, node, "too large or too deep; aliases that contain themselves cannot be used")
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _PLAIN_TAGS:
            self._note(path, f"no tag such as {node.tag!r} can be used; write plain lists and mappings")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._note(path, "a key must be plain text")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in data:
                self._note(here, f"given twice (first on line {self._document.lines[here]}); keep one")
                self._document.lines[here] = key_node.start_mark.line + 1
                continue
            self._document.lines[here] = key_node.start_mark.line + 1
            data[key] = self.build(value_node, here)
        return data

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        try:
            if node.tag == "tag:yaml.org,2002:int" and re.fullmatch(r"[-+]?[0-9]+", node.value):
                return int(node.value)
            return yaml.constructor.SafeConstructor().construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            self._note(path, f"this value cannot be read: {reason}")
            return None

    def _note(self, path: Path, text: str) -> None:
        self._document.faults.append(SettingError(path, text))

    def _error(self, path: Path, node: yaml.Node, text: str) -> ConfigError:
        problem = Problem(path=format_path(path), line=node.start_mark.line + 1, text=text)
        return problems_error(self._document.name, (problem,))


def format_path(path: Path) -> str:
    """Return a path as people write it: `metrics[1].when`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
