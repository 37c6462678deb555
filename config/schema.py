"""The JSON Schema of job files, for editors that complete and check while one types."""

import ast
import inspect
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from config.base import Settings
from config.settings import JobSettings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def job_file_schema() -> dict[str, Any]:
    """Return the JSON Schema of a job file; what it allows, `load_job` checks further."""
    schema = JobSettings.model_json_schema(by_alias=True, mode="validation")
    _describe_fields(schema)
    # Some sources bring their own columns, and a path tells the type of a source: an editor must not ask for them.
    schema["required"] = [name for name in schema["required"] if name not in ("schema", "time")]
    relaxed: dict[str, Any] = _without_discriminators(schema)
    return {"$schema": _DIALECT, "title": "Tocsin job file"} | {"description": relaxed.pop("description", "")} | relaxed


def _describe_fields(schema: dict[str, Any]) -> None:
    """Give all fields of settings what stands below them as their descriptions."""
    parts = schema["$defs"] | {JobSettings.__name__: schema}
    for model in _models(Settings):
        shown = parts.get(model.__name__, {}).get("properties", {})
        for base in reversed(model.__mro__):
            for name, text in _told(base).items() if issubclass(base, Settings) else ():
                key = model.model_fields[name].alias or name
                if key in shown:
                    shown[key]["description"] = text


def _told(model: type[Settings]) -> dict[str, str]:
    """Return what the source of a class says below its fields."""
    tree = ast.parse(inspect.getsource(sys.modules[model.__module__]))
    (body,) = (one.body for one in tree.body if isinstance(one, ast.ClassDef) and one.name == model.__name__)
    found = {}
    for field, told in pairwise(body):
        match field, told:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return {name: text for name, text in found.items() if name in model.model_fields}


def _models(base: type[Settings]) -> Iterator[type[Settings]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _without_discriminators(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_discriminators(one) for one in part]
    if not isinstance(part, dict):
        return part
    names = {"oneOf": "anyOf"} if "discriminator" in part else {}
    return {
        names.get(name, name): _without_discriminators(value) for name, value in part.items() if name != "discriminator"
    }
