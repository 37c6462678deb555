"""Rules of style that no linter checks: sizes, docstrings, imports, and the layers."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.support.repository import PACKAGES, ROOT, facts, python_files, shown

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 60
PACKAGE_NAMES_MAX = 15
OWN_CODE = (*PACKAGES, "scripts", "tocsin.py")


def imported_names(path: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports anywhere."""
    return {"." if one.level else one.module.partition(".")[0] for one in facts(path).imports}


def test_no_file_is_too_long() -> None:
    assert [shown(path) for path in python_files() if len(path.read_text().splitlines()) > FILE_LINES_MAX] == []


def test_no_function_is_too_long() -> None:
    assert [
        f"{shown(path)}:{first} {name}"
        for path in python_files()
        for name, first, last in facts(path).functions
        if last - first >= FUNCTION_LINES_MAX
    ] == []


def test_no_package_gives_too_many_names() -> None:
    assert [
        shown(path)
        for path in python_files(*PACKAGES)
        if path.name == "__init__.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.List) and len(node.elts) > PACKAGE_NAMES_MAX
    ] == []


def test_every_module_says_what_it_is() -> None:
    assert [
        shown(path) for path in python_files(*OWN_CODE) if path.stat().st_size and not facts(path).has_docstring
    ] == []


def repeats(name: str, docstring: str) -> bool:
    """Return whether all words of a docstring, the smallest aside, are in the name."""
    words = set(re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()))
    return set(re.findall(r"\w+", docstring.lower())) - {"a", "an", "the", "of", "return"} <= words


def test_no_docstring_only_repeats_the_name() -> None:
    assert repeats("open_job", "Open the job.")
    assert not repeats("job", "The job that was asked for.")
    assert [
        f"{shown(path)}:{line} {name}: {text}"
        for path in python_files()
        for line, name, text in facts(path).described
        if repeats(name, text)
    ] == []


def test_no_import_is_relative() -> None:
    assert [shown(path) for path in python_files() if "." in imported_names(path)] == []


def test_no_unit_test_imports_ray() -> None:
    unit = ROOT / "tests" / "unit"
    assert [
        shown(path) for path in python_files("tests") if path.is_relative_to(unit) and "ray" in imported_names(path)
    ] == []


def test_only_the_four_packages_and_the_tests_hold_code() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in python_files()} <= {*OWN_CODE, "tests"}


def test_every_part_of_actors_has_a_layer() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = " ".join(contracts[0]["layers"])
    listed = {name.strip("()") for name in layers.replace("|", " ").replace(":", " ").split()}
    parts = {
        f"actors.{path.relative_to(ROOT).parts[1].removesuffix('.py')}"
        for path in python_files("actors")
        if path.name != "__init__.py" or len(path.relative_to(ROOT).parts) > 2
    }
    assert parts - listed == set(), "name it in the first contract of [tool.importlinter] in pyproject.toml"


def test_the_import_contracts_are_kept() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
