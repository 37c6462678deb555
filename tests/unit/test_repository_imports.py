"""No module needs a module that needs it, in whatever way.

Imports within functions count, and those for type checkers alone: two files that explain each other are one thing.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tests.support.repository import PACKAGES, ROOT, Import, facts

FOLDERS = (*PACKAGES, "tests", "scripts")

Graph = dict[str, set[str]]


def test_no_modules_need_each_other() -> None:
    assert circles(import_graph(ROOT)) == []


def test_circles_through_functions_and_types_are_found(tmp_path: Path) -> None:
    (tmp_path / "actors").mkdir()
    for name, text in {
        "__init__": "from actors.one import f",
        "one": "def f():\n    import actors.two",
        "two": "class A:\n    def f(self):\n        from actors import one",
        "three": "from actors import four",
        "four": "if TYPE_CHECKING:\n    from actors.three import A",
    }.items():
        (tmp_path / "actors" / f"{name}.py").write_text(text)
    assert circles(import_graph(tmp_path)) == [{"actors.four", "actors.three"}, {"actors.one", "actors.two"}]


def import_graph(root: Path) -> Graph:
    """Return the modules of the repository, each with those that it imports somewhere."""
    files = {module_name(root, file): file for folder in FOLDERS for file in (root / folder).rglob("*.py")}
    return {name: set(imported(facts(file).imports, files.keys())) for name, file in files.items()}


def module_name(root: Path, file: Path) -> str:
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imported(imports: Iterable[Import], modules: Collection[str]) -> Iterator[str]:
    for one in imports:
        if not one.names:
            yield from [one.module] if one.module in modules else []
        elif one.module:
            # What is imported from a package may be a module of it.
            tails = [f"{one.module}.{name}" for name in one.names]
            yield from (tail if tail in modules else one.module for tail in tails if one.module in modules)


def circles(graph: Graph) -> list[frozenset[str]]:
    """Return the largest sets of modules that all need each other, by what each can reach."""
    reached = {name: reachable(graph, name) for name in graph}
    found = {
        frozenset(other for other in reached[name] if name in reached[other]) for name in graph if name in reached[name]
    }
    return sorted(found, key=sorted)


def reachable(graph: Graph, start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph.get(name, ())
    return seen
