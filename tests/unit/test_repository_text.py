"""What no file may say, and what README, docs and the start commands must agree on."""

import re

import pytest

from tests.support.repository import ROOT, shown, tracked_files

# Put together from parts, so that this file passes its own test.
FORBIDDEN = ("py" + "pi", "files.python" + "hosted", "/wo" + "rk/", "/ro" + "ot/")
README_LINES_MAX = 100
COMMAND = re.compile(r"python3 scripts/\w+\.py \w+")


@pytest.mark.parametrize("words", FORBIDDEN)
def test_no_file_names_a_registry_or_a_place_on_one_machine(words: str) -> None:
    found = [shown(path) for path in tracked_files() if words.encode() in path.read_bytes().lower()]
    assert found == []


def readme() -> str:
    """Return the text of the README, or skip while there is none."""
    path = ROOT / "README.md"
    if not path.exists():
        pytest.skip("there is no README.md yet")
    return path.read_text()


def test_the_readme_is_short() -> None:
    assert len(readme().splitlines()) < README_LINES_MAX


def test_the_readme_has_the_two_commands() -> None:
    assert set(COMMAND.findall(readme())) >= {"python3 scripts/bootstrap.py run", "python3 scripts/bootstrap.py test"}


def test_the_integration_run_uses_the_test_command_of_the_readme() -> None:
    assert COMMAND.findall((ROOT / ".ci" / "run").read_text()) == ["python3 scripts/bootstrap.py test"]


def test_every_script_that_a_page_starts_exists() -> None:
    pages = [path for path in tracked_files() if path.suffix == ".md"]
    started = {name for page in pages for name in re.findall(r"scripts/\w+\.py", page.read_text())}
    assert [name for name in sorted(started) if not (ROOT / name).is_file()] == []


def test_every_local_link_of_a_page_leads_somewhere() -> None:
    pages = [path for path in tracked_files() if path.suffix == ".md"]
    assert [
        f"{shown(page)}: {target}"
        for page in pages
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", page.read_text())
        if not (page.parent / target).exists()
    ] == []
