"""The bootstrap knows when there is nothing to do; installing itself is shown by every run on a new machine."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from scripts import bootstrap
from tests.support.repository import ROOT

INPUTS = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock", "pyproject.toml")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the bootstrap of a project whose environment is empty but complete."""
    for name in INPUTS:
        (tmp_path / name).write_text(name)
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("version = 3.11.7\n")
    (venv / "bin" / "python").symlink_to(sys.executable)
    for name, value in {"ROOT": tmp_path, "VENV": venv, "VENV_PYTHON": venv / "bin" / "python"}.items():
        monkeypatch.setattr(bootstrap, name, value)
    monkeypatch.setattr(bootstrap, "STAMP", venv / "stamp")
    return bootstrap


def stamp(command: str) -> None:
    """Note that the environment was set up for a command."""
    bootstrap.STAMP.write_text(f"{command} {bootstrap.fingerprint(bootstrap.LOCKS[command])}\n")


def test_an_environment_without_a_stamp_is_set_up(project: ModuleType) -> None:
    assert not project.is_current("run")


def test_an_environment_that_was_set_up_is_left_alone(project: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp("run")
    monkeypatch.delattr(project, "install")
    project.set_up("run")
    assert project.is_current("run")


def test_what_is_set_up_for_tests_is_enough_to_run(project: ModuleType) -> None:
    stamp("test")
    assert project.is_current("run")
    stamp("run")
    assert not project.is_current("test")


@pytest.mark.parametrize("name", ["requirements-build.lock", "requirements.lock", "pyproject.toml"])
def test_a_changed_file_asks_for_a_new_set_up(project: ModuleType, name: str) -> None:
    stamp("run")
    (project.ROOT / name).write_text("changed")
    assert not project.is_current("run")


def test_another_python_asks_for_a_new_set_up(project: ModuleType) -> None:
    stamp("run")
    (project.VENV / "pyvenv.cfg").write_text("version = 3.12.1\n")
    assert not project.is_current("run")


def test_a_python_that_is_gone_asks_for_a_new_set_up(project: ModuleType) -> None:
    stamp("run")
    project.VENV_PYTHON.unlink()
    assert not project.is_current("run")


@pytest.mark.parametrize("command", ["run", "test"])
def test_what_is_compiled_is_kept_for_the_next_process(
    command: str, project: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("TOKEN", "x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project.os, "execve", lambda path, line, environment: started.append(environment))
    project.become(command, [])
    assert [("PYTHONDONTWRITEBYTECODE" in one, one["TOKEN"]) for one in started] == [(False, "x")]


def test_an_unknown_command_is_refused() -> None:
    script = str(ROOT / "scripts" / "bootstrap.py")
    ended = subprocess.run([sys.executable, script, "walk"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: python3 scripts/bootstrap.py run|test")
