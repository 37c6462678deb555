"""The lock files cover what `pyproject.toml` asks for, by hash, and name no place to get it from."""

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.repository import ROOT

LOCKS = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock")


def project() -> dict[str, Any]:
    """Return the project's file."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins(name: str) -> dict[str, set[str]]:
    """Return the versions a lock file pins for each package; markers may choose among several."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(package), set()).add(version)
    return found


def uncovered(requirements: list[str], lock: str) -> list[str]:
    """Return the requirements that a lock file does not fulfil with every version it has."""
    pinned = pins(lock)
    wanted = [Requirement(text) for text in requirements]
    return [
        str(one)
        for one in wanted
        if not (versions := pinned.get(canonicalize_name(one.name)))
        or not all(one.specifier.contains(version) for version in versions)
    ]


def test_the_runtime_lock_covers_the_dependencies() -> None:
    assert uncovered(project()["project"]["dependencies"], "requirements.lock") == []


def test_the_development_lock_covers_dependencies_extras_and_tools() -> None:
    extras = project()["project"]["optional-dependencies"].values()
    wanted = [*project()["project"]["dependencies"], *project()["dependency-groups"]["dev"]]
    assert uncovered([*wanted, *(one for extra in extras for one in extra)], "requirements-dev.lock") == []


def test_the_build_lock_covers_what_builds() -> None:
    assert uncovered(project()["build-system"]["requires"], "requirements-build.lock") == []


def test_the_development_lock_holds_the_runtime_lock() -> None:
    development = pins("requirements-dev.lock")
    assert {name: development.get(name) for name in pins("requirements.lock")} == pins("requirements.lock")


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes(name: str) -> None:
    entries = re.split(r"^(?=\w)", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index" not in re.findall(r"^--(\w+)", text, re.MULTILINE)
