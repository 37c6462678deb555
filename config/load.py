"""Job files: from YAML text to checked settings.

Relative paths in a job file are relative to the folder of the file. Everything wrong is reported at once, each problem
with the path of the faulty key and its line.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.document import Document, read_document
from config.errors import ConfigError, Problem, problems_error
from config.library_checks import check_parts
from config.problems import find_problems
from config.settings import JobSettings

FILE_SIZE_BYTES_MAX = 64 << 20


def load_job(path: str | Path) -> JobSettings:
    """Return the settings that a job file gives.

    Raises:
        ConfigError: the file cannot be read, or what it says cannot be used.
    """
    file = Path(path)
    text = _read_text(file, "the job file")
    return parse_job(text, file.resolve().parent, name=str(path))


def _read_text(file: Path, what: str) -> str:
    try:
        if file.stat().st_size > FILE_SIZE_BYTES_MAX:
            raise ConfigError(f"{file}: larger than {FILE_SIZE_BYTES_MAX} bytes; keep rows in a file of their own")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {what} {str(file)!r}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def parse_job(text: str, base_directory: str | Path, *, name: str = "job") -> JobSettings:
    """Return the settings that the text of a job file gives; `name` stands for the file in messages.

    Raises:
        ConfigError: what the text says cannot be used.
    """
    document = read_document(text, name)
    if not isinstance(document.data, Mapping):
        raise problems_error(
            name, (Problem(path="", line=None, text="a job file is a mapping; begin with `job: NAME`"),)
        )
    data = _with_absolute_paths(dict(document.data), Path(base_directory))
    data = _with_templates(data, Path(base_directory), document)
    try:
        job = JobSettings.model_validate(data)
    except ValidationError as error:
        raise problems_error(name, find_problems(error, document.data, document.lines)) from None
    _check_parts(job, document)
    return job


def _check_parts(job: JobSettings, document: Document) -> None:
    problems = check_parts(job)
    if problems:
        placed = tuple(
            Problem(path=problem.path, line=document.line_of(path), text=problem.text) for path, problem in problems
        )
        raise problems_error(document.name, placed)


def _with_absolute_paths(data: dict[str, Any], base: Path) -> dict[str, Any]:
    source, sinks = data.get("source"), data.get("sinks")
    if isinstance(source, dict) and "path" in source:
        data["source"] = source | {"path": _absolute(source["path"], base)}
    if isinstance(sinks, list):
        data["sinks"] = [
            sink | {"path": _absolute(sink["path"], base)} if isinstance(sink, dict) and "path" in sink else sink
            for sink in sinks
        ]
    return data


def _with_templates(data: dict[str, Any], base: Path, document: Document) -> dict[str, Any]:
    """Return the job with the templates of the file that it names for them: they become part of the job."""
    source = data.get("source")
    if not isinstance(source, dict) or not isinstance(source.get("templates"), str):
        return data
    name = source["templates"]
    try:
        found = read_document(_read_text(base / name, "the file of templates"), name).data
        if isinstance(found, Mapping) and list(found) == ["templates"]:
            found = found["templates"]
        if not isinstance(found, list):
            raise ConfigError(f"{name}: a file of templates is a list of them, as `tocsin learn templates` prints it")
    except ConfigError as error:
        path = ("source", "templates")
        problem = Problem(path=".".join(path), line=document.line_of(path), text=str(error))
        raise problems_error(document.name, (problem,)) from error
    return data | {"source": source | {"templates": found}}


def _absolute(path: Any, base: Path) -> Any:
    if isinstance(path, list):
        return [_absolute(one, base) for one in path]
    return str(base / path) if isinstance(path, str) and path else path
