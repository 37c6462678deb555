"""Job files: from YAML text to checked settings.

Relative paths in a job file are relative to the folder of the file. Everything wrong is reported at once, each problem
with the path of the faulty key and its line.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from actors.allowed import is_url
from config.checks import job_faults
from config.document import Document, read_document, scan_document
from config.draft import Draft
from config.errors import ConfigError, SettingError
from config.errors import Path as Place
from config.faults import find_faults
from config.library_checks import library_faults
from config.secrets import is_secret
from config.settings import JobSettings
from config.store_sinks import SQLITE

Look = Callable[[JobSettings], list[SettingError]]
"""Returns what is wrong with settings."""

FILE_SIZE_BYTES_MAX = 64 << 20

_WHOLE_LIMIT = 1 << 63


def load_job(path: str | Path) -> JobSettings:
    """Return the settings that a job file gives.

    Raises:
        ConfigError: the file cannot be read, or what it says cannot be used.
    """
    file = checked_path("the job file", path)
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
    except ValueError as error:
        raise ConfigError(f"cannot read {what} {str(file)!r}: {error}; give another path") from error


def parse_job(text: str, base_directory: str | Path, *, name: str = "job") -> JobSettings:
    """Return the settings that the text of a job file gives; `name` stands for the file in messages.

    Raises:
        ConfigError: what the text says cannot be used.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a {type(text).__name__} is no text of a job file; `make_job` takes plain data")
    base = checked_path("the folder", base_directory)
    document = scan_document(text, name)
    if not isinstance(document.data, Mapping):
        raise document.error([*document.faults, SettingError((), "a job file is a mapping; begin with `job: NAME`")])
    data = _with_absolute_paths(dict(document.data), base)
    try:
        data = _with_templates(data, base)
    except ConfigError as error:
        document.faults.append(SettingError(("source", "templates"), str(error)))
    return _checked(data, document, (job_faults, library_faults))


def make_job(data: Mapping[str, Any]) -> JobSettings:
    """Return the settings of a job given as plain data, shaped like a job file; paths stay as they are.

    Raises:
        ConfigError: the data cannot be used.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"a {type(data).__name__} is no job; give a mapping shaped like a job file")
    return _checked(data, Document("job"), (job_faults,))


def checked_path(what: str, given: Any) -> Path:
    """Return a path, `what` saying of which.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(given, str | PathLike) or not str(given):
        raise ConfigError(f"{what} is {given!r}, no path; give one")
    return Path(given)


def _checked(data: Mapping[str, Any], document: Document, looks: Sequence[Look]) -> JobSettings:
    draft = Draft(data, [*document.faults, *_not_plain(data, ())])
    while True:
        faults: list[SettingError] = []
        try:
            job = JobSettings.model_validate(draft.data)
        except ValidationError as error:
            faults = find_faults(error, draft.data)
        else:
            for look in looks if draft.knows_columns else ():
                faults = faults or look(job)
            if not faults and not draft.faults:
                return job
        if not draft.take_out(faults):
            raise document.error(draft.faults)


def _not_plain(value: Any, path: Place) -> Iterator[SettingError]:
    """Yield what neither columns nor what is kept of a job can hold."""
    if isinstance(value, int) and not -_WHOLE_LIMIT <= value < _WHOLE_LIMIT:
        digits = format(value, ".3e") if abs(value) < 1 << 1000 else "this number"
        yield SettingError(path, f"{digits} has more than 64 bits; give a smaller number, or text in quotes")
    elif isinstance(value, Mapping | list | tuple):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for part, inner in parts:
            yield from _not_plain(inner, (*path, part))
    elif isinstance(value, str) and value.encode("utf-8", "ignore").decode() != value:
        yield SettingError(path, f"{value!r} holds half a letter; give a text of Unicode")
    elif not isinstance(value, str | int | float | date | time | timedelta | None):
        yield SettingError(
            path, f"a {type(value).__name__} is no plain value; give a text, a number, a list or a mapping"
        )


def _with_absolute_paths(data: dict[str, Any], base: Path) -> dict[str, Any]:
    source, sinks = data.get("source"), data.get("sinks")
    for name in ("path", "directory"):
        if isinstance(source, dict) and name in source:
            data["source"] = source = source | {name: _place(source[name], base)}
    for name in ("security", "storage_options"):
        access = source.get(name) if isinstance(source, dict) else None
        if isinstance(source, dict) and isinstance(access, dict):
            found = _with_absolute_files(access, base)
            if isinstance(headers := access.get("headers"), dict):
                found["headers"] = _with_absolute_files(headers, base)
            data["source"] = source = source | {name: found}
    if isinstance(sinks, list):
        data["sinks"] = [_with_absolute_place(sink, base) if isinstance(sink, dict) else sink for sink in sinks]
    return data


def _with_absolute_place(sink: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return a sink with absolute paths."""
    found = _with_absolute_files(sink, base)
    if "path" in sink:
        found["path"] = _absolute(sink["path"], base)
    if isinstance(url := sink.get("url"), str) and url.startswith(SQLITE) and url != SQLITE:
        found["url"] = f"{SQLITE}{base / url.removeprefix(SQLITE)}"
    if isinstance(security := sink.get("security"), dict):
        found["security"] = _with_absolute_files(security, base)
    if isinstance(headers := sink.get("headers"), dict):
        found["headers"] = _with_absolute_files(headers, base)
    return found


def _with_absolute_files(security: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return settings with absolute paths of certificates and keys, and of the files that secrets are in."""
    found = dict(security)
    for name, value in security.items():
        if isinstance(value, str) and value.startswith("file:") and len(value) > len("file:"):
            found[name] = f"file:{base / value.removeprefix('file:')}"
        elif name in ("ca", "certificate", "key", "credentials") and not (isinstance(value, str) and is_secret(value)):
            found[name] = _absolute(value, base)
    return found


def _with_templates(data: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return the job with the templates of the file that it names for them: they become part of the job."""
    source = data.get("source")
    form = source.get("format") if isinstance(source, dict) else None
    if isinstance(source, dict) and isinstance(form, dict) and isinstance(form.get("templates"), str):
        return data | {"source": source | {"format": form | {"templates": _templates_in(form["templates"], base)}}}
    if not isinstance(source, dict) or not isinstance(source.get("templates"), str):
        return data
    return data | {"source": source | {"templates": _templates_in(source["templates"], base)}}


def _templates_in(name: str, base: Path) -> list[Any]:
    found = read_document(_read_text(base / name, "the file of templates"), name).data
    if isinstance(found, Mapping) and list(found) == ["templates"]:
        found = found["templates"]
    if not isinstance(found, list):
        raise ConfigError(f"{name}: a file of templates is a list of them, as `tocsin learn templates` prints it")
    return found


def _absolute(path: Any, base: Path) -> Any:
    if isinstance(path, list):
        return [_absolute(one, base) for one in path]
    return str(base / path) if isinstance(path, str) and path else path


def _place(path: Any, base: Path) -> Any:
    """Return where files of a source are; a URL is a place by itself."""
    if isinstance(path, list):
        return [_place(one, base) for one in path]
    return path if isinstance(path, str) and is_url(path) else _absolute(path, base)
