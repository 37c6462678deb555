"""Settings of sinks that keep records: tables of a database, and Parquet files."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from config.base import Settings, SizeBytes, duration_seconds, fault
from config.brokers import SecuritySettings
from config.secrets import is_secret
from config.sinks import SinkBase, Timeout, check_folder

SQLITE = "sqlite:///"
"""How the address of a file of SQLite begins."""

FILE_COLUMNS = ("id", "kind", "state", "rule", "severity", "summary", "runbook", "labels")
"""Columns of Parquet files besides those of anomalies."""

_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"


class SqlSinkSettings(SinkBase):
    """Each anomaly or episode as a row of a table."""

    type: Literal["sql"] = "sql"
    url: str = Field(min_length=1)
    """`sqlite:///FILE`, `postgresql://HOST:PORT/DATABASE`, or where such an address is: `env:NAME` or `file:PATH`."""

    table: str = Field(default="alarms", pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}$")
    """Name of the table, perhaps with its schema; made when it is missing."""

    columns: dict[Annotated[str, Field(pattern=_NAME)], str] = Field(default_factory=dict)
    """Column -> template of its value, in place of those of a record; `id` is there in any case."""

    timeout: Timeout = 10.0
    """Seconds, or a duration such as `5s`, that the database has for an answer."""

    security: SecuritySettings = SecuritySettings()
    """How to log in."""

    @model_validator(mode="after")
    def _check_url(self) -> "SqlSinkSettings":
        if not is_secret(self.url):
            check_database(self.url)
            if self.url.startswith(SQLITE) and self.security != SecuritySettings():
                raise fault(("security",), "a file of SQLite asks nobody to log in; leave it out")
            if not self.url.startswith(SQLITE) and self.security.username is None:
                text = "PostgreSQL wants a name; add `security: {username: NAME, password: env:VARIABLE}`"
                raise fault(("security", "username"), text)
        if "id" in self.columns:
            raise fault(("columns", "id"), "the column `id` is what rows are known by; leave it out")
        return self

    @property
    def place(self) -> str:
        """The database and the table."""
        return f"{self.url} {self.table}"

    @property
    def texts(self) -> Mapping[str, Mapping[str, str]]:
        """The columns."""
        return {"columns": self.columns}


class RollSettings(Settings):
    """When a Parquet file is whole."""

    after: Annotated[
        float,
        BeforeValidator(duration_seconds, json_schema_input_type=float | str),
        Field(ge=1, le=7 * 86_400, strict=True, allow_inf_nan=False),
    ] = 600.0
    """Seconds, or a duration such as `10m`, after its first record."""

    size: SizeBytes = 32 << 20
    """Bytes of records that wait for it, or a size such as `32MiB`."""


class ParquetSinkSettings(SinkBase):
    """Anomalies and episodes in Parquet files, whole ones only."""

    is_kept: ClassVar[bool] = True

    type: Literal["parquet"] = "parquet"
    path: str = Field(min_length=1)
    """Folder, relative to the job file; made when it is missing."""

    roll: RollSettings = RollSettings()
    """When a file is whole."""

    @model_validator(mode="after")
    def _check_path(self) -> "ParquetSinkSettings":
        check_folder(self.path)
        return self

    @property
    def place(self) -> str:
        """The folder."""
        return self.path


def check_database(url: str) -> None:
    """Check the address of a database that stands in a job file.

    Raises:
        SettingError: it is none, or it holds a secret.
    """
    example = "write sqlite:///alarms.db or postgresql://127.0.0.1:5432/DATABASE"
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        if not path.strip("/") or path.endswith("/") or any(letter in path for letter in "?#\0") or ":" in path[:6]:
            raise fault(("url",), f"{url!r} names no file; {example}")
        return
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "postgresql" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or any(letter.isspace() for letter in url):
        raise fault(("url",), f"{url!r} is no address of a database that this sink knows; {example}")
    if parts.username is not None or parts.password is not None:
        text = "a job file holds no secrets: log in by `security: {username: NAME, password: env:VARIABLE}`"
        raise fault(("url",), text)
    if not parts.path.strip("/") or "/" in parts.path.strip("/") or parts.query or parts.fragment:
        raise fault(("url",), f"{url!r} does not end with the name of a database; {example}")
