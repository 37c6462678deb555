"""The JSON Schema of job files, for editors that complete and check while one types."""

from typing import Any

from config.settings import JobSettings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def job_file_schema() -> dict[str, Any]:
    """Return the JSON Schema of a job file; what it allows, `load_job` checks further."""
    schema = JobSettings.model_json_schema(by_alias=True, mode="validation")
    # Some sources bring their own columns, and a path tells the type of a source: an editor must not ask for them.
    schema["required"] = [name for name in schema["required"] if name not in ("schema", "time")]
    relaxed: dict[str, Any] = _without_discriminators(schema)
    return {"$schema": _DIALECT, "title": "Tocsin job file"} | {"description": relaxed.pop("description", "")} | relaxed


def _without_discriminators(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_discriminators(one) for one in part]
    if not isinstance(part, dict):
        return part
    names = {"oneOf": "anyOf"} if "discriminator" in part else {}
    return {
        names.get(name, name): _without_discriminators(value) for name, value in part.items() if name != "discriminator"
    }
