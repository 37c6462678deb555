"""Every command and every setting of a job file is in the docs."""

import importlib
import importlib.util
import re
from collections.abc import Iterator
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from tests.support.repository import ROOT, documentation


def part(module: str, name: str) -> Any:
    """Return a name of a module, or skip while the module or the name is not there."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    value = getattr(importlib.import_module(module), name, None) if found else None
    if value is None:
        pytest.skip(f"there is no {module}.{name} yet")
    return value


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is not hidden, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            if not child.hidden:
                yield from commands(child, f"{path} {name}")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation mentions, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def settings_of(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[str]:
    """Return the names a file may use for a model and everything below it."""
    if model in seen:
        return set()
    seen.add(model)
    names = {field.alias or name for name, field in model.model_fields.items()}
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            names |= settings_of(inner, seen)
    return names


def test_every_command_is_documented() -> None:
    text = documentation()
    paths = [path for path, _ in commands(part("cluster.cli", "cli"), "tocsin")]
    assert [path for path in paths if not re.search(rf"\b{re.escape(path)}(?![\w-])", text)] == []


def test_every_option_of_a_command_is_documented() -> None:
    text = documentation()
    options = {
        option
        for _, command in commands(part("cluster.cli", "cli"), "tocsin")
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and not getattr(parameter, "hidden", False)
    }
    assert [option for option in sorted(options) if not re.search(rf"{re.escape(option)}(?![\w-])", text)] == []


def test_every_setting_of_a_job_file_is_documented() -> None:
    text = documentation()
    names = settings_of(part("config", "JobSettings"), set())
    # As code, `name` or `name:`, because names such as `type` are words of every page.
    assert [name for name in sorted(names) if not re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`|\b{name}:", text)] == []


def test_every_row_of_the_failure_table_names_a_test_that_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("## When something dies")[2].partition("\n## ")[0]
    rows = [
        [cell.strip(" `") for cell in line.strip("| ").split("|")] for line in text.splitlines() if line[:2] == "| "
    ]
    what_dies = [cells[0] for cells in rows if len(cells) == 4 and cells[0] != "---"]
    shown_by = {cells[0]: cells[1] for cells in rows if len(cells) == 2 and cells[0] != "---"}
    assert what_dies == list(shown_by)
    assert len(what_dies) > 20
    for row in list(shown_by.values())[1:]:
        path, _, name = row.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(), row
