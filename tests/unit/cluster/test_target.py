"""Which cluster a command is about: that of a home, or the one at an address."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from actors.errors import TocsinError
from cluster.cli import cli
from cluster.errors import NotRunningError


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run without what the environment may name, and with a home that is empty."""
    monkeypatch.delenv("TOCSIN_ADDRESS", raising=False)
    monkeypatch.delenv("TOCSIN_PASSWORD_FILE", raising=False)
    monkeypatch.setenv("TOCSIN_HOME", str(tmp_path / "home"))


def run(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(cli, list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--home", "/h", "--address", "10.0.0.1", "jobs"], "--home and --address name two clusters"),
        (["--password-file", "/p", "jobs"], "goes with --address"),
        (["--address", "10.0.0.1", "down"], "`down` is about this machine; leave out --address"),
        (["--address", "10.0.0.1", "db", "stat", "j/0"], "`stat` is about this machine"),
    ],
)
def test_what_contradicts_itself_is_refused(words: list[str], said: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert said in result.output


def test_an_address_needs_a_password_file() -> None:
    error = run("--address", "10.0.0.1", "jobs").exception
    assert isinstance(error, TocsinError)
    assert "name its file by --password-file before the command" in str(error)


def test_an_address_of_the_environment_is_for_commands_that_ask_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_ADDRESS", "10.0.0.1")
    assert "no cluster runs in" in run("down").output
    assert "10.0.0.1 asks for the cluster's password" in str(run("jobs").exception)


def test_a_home_that_is_typed_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOCSIN_ADDRESS", "10.0.0.1")
    assert isinstance(run("--home", str(tmp_path / "other"), "jobs").exception, NotRunningError)
