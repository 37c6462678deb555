"""The repository as the tests of itself see it: its root, its tracked files, its Python modules."""

import ast
import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import of a module, or from one."""

    module: str
    """Name of the module; empty for `from . import x`."""

    names: tuple[str, ...] = ()
    """Names imported from it; none when it is imported itself."""

    level: int = 0
    """Number of leading dots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What tests want to know of a Python file, without its tree, of which there would be a hundred megabytes."""

    has_docstring: bool
    functions: tuple[tuple[str, int, int], ...]
    """Name, first and last line of each function and method, also of nested ones."""

    imports: tuple[Import, ...]
    """Imports anywhere in the file."""

    described: tuple[tuple[int, str, str], ...]
    """Line, name and docstring of each function, class, field and constant that has one."""


@cache
def facts(path: Path) -> Facts:
    """Parse a file once and return what tests want to know of it."""
    tree = ast.parse(path.read_text())
    nodes = list(_statements(tree))
    return Facts(
        has_docstring=ast.get_docstring(tree) is not None,
        functions=tuple(
            (node.name, node.lineno, node.end_lineno or 0)
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ),
        imports=tuple(one for node in nodes for one in _imports(node)),
        described=tuple(one for node in nodes for one in _described(node)),
    )


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Go through a tree's statements alone: expressions, of which there are ten times as many, hold none."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "handlers", "orelse", "finalbody", "cases"):
            below = getattr(node, name, None)
            if isinstance(below, list):
                waiting += below


def _imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(module=alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        names = tuple(alias.name for alias in node.names)
        yield Import(module=node.module or "", names=names, level=node.level)


def _described(node: ast.AST) -> Iterator[tuple[int, str, str]]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and (text := ast.get_docstring(node)):
        yield node.lineno, node.name, text
    body = getattr(node, "body", None)
    for one, following in itertools.pairwise(body if isinstance(body, list) else []):
        target = (
            one.target if isinstance(one, ast.AnnAssign) else one.targets[0] if isinstance(one, ast.Assign) else None
        )
        name = getattr(target, "id", getattr(target, "attr", None))
        match following:
            case ast.Expr(value=ast.Constant(value=str(text))) if name is not None:
                yield one.lineno, name, text


def shown(path: Path) -> str:
    """Return a path as a failing test shows it."""
    return str(path.relative_to(ROOT))


def documentation() -> str:
    """Return the text of all pages in `docs/`."""
    return "\n".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))
