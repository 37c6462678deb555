"""Tables of a database: each anomaly or episode is a row, under its id.

What comes again replaces the row that is there, so every id is there once. The records of a write are one transaction;
when the database refuses it, they are given one by one, so that what stands before the one that it refuses is kept.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from actors.errors import SinkError
from actors.extras import need
from actors.model import ColumnType
from actors.sink.messages import Contents, identified_records
from actors.sink.protocol import SinkRecord
from config.settings import JobSettings
from config.store_sinks import SqlSinkSettings

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.types import TypeEngine

_REASON_LENGTH_MAX = 300

_TEXTS = ("job", "kind", "state", "metric", "rule", "severity", "summary", "runbook")
_NUMBERS = ("type", "split", "offset", "ordinal")
_DATA = ("key", "labels", "detail")
"""Fields of a record, by what columns they become; besides, there are `id` and `time`."""


class SqlSink:
    """Writes rows of a table by an engine of SQLAlchemy, which it closes."""

    def __init__(self, settings: SqlSinkSettings, job: JobSettings, engine: "Engine") -> None:
        self._settings = settings
        self._job = job
        self._engine = engine
        self._contents = Contents(job, settings.columns or None)
        self._table: Table | None = None

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Put the records into the table; they are committed when it returns.

        Raises:
            SinkError: the database does not answer, or refuses one; `taken_count` of them it has.
        """
        if not anomalies:
            return
        from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

        records = identified_records(self._job, anomalies)
        taken_count = 0
        try:
            table = self._opened()
            rows = [self._row(table, record) for record in records]
            try:
                self._put(table, rows)
            except (InterfaceError, OperationalError):
                raise
            except DBAPIError as error:
                if error.connection_invalidated or len(rows) == 1:
                    raise
                for row in rows:
                    self._put(table, [row])
                    taken_count += 1
        except (SQLAlchemyError, OSError) as error:
            self._forget()
            text = f"{_reason(error)}. It is tried again; what comes waits"
            at = f" at {records[taken_count]['id']}" if isinstance(error, DBAPIError) else ""
            raise SinkError(f"sink {self._settings.identity}{at}: {text}", taken_count=taken_count) from error

    def close(self) -> None:
        """Close the connections."""
        self._forget()

    def _forget(self) -> None:
        # The table may be another one when somebody has put right what was wrong.
        self._table = None
        self._engine.dispose()

    def _put(self, table: "Table", rows: Sequence[Mapping[str, Any]]) -> None:
        from sqlalchemy.dialects import postgresql, sqlite

        made = (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(table)
        others = {name: made.excluded[name] for name in rows[0] if name != "id"}
        with self._engine.begin() as connection:
            connection.execute(made.on_conflict_do_update(index_elements=["id"], set_=others), list(rows))

    def _opened(self) -> "Table":
        """Return the table as it is in the database, made when it is missing."""
        if self._table is None:
            from sqlalchemy import MetaData, Table, inspect

            schema, _, name = self._settings.table.rpartition(".")
            with self._engine.connect() as connection:
                if not inspect(connection).has_table(name, schema or None):
                    self._make(connection, name, schema or None)
                self._table = Table(name, MetaData(), schema=schema or None, autoload_with=connection)
            missing = [one for one in ("id", *self._names()) if one not in self._table.columns]
            if missing:
                self._table = None
                raise SinkError(
                    f"sink {self._settings.identity}: the table has no column {', '.join(missing)}; add it, name "
                    "another `table`, or say by `columns` which there are"
                )
        return self._table

    def _make(self, connection: "Connection", name: str, schema: str | None) -> None:
        from sqlalchemy.exc import DBAPIError

        try:
            _table(self._job, self._settings, name, schema).create(connection, checkfirst=True)
            connection.commit()
        except DBAPIError:
            # Another host may have made it meanwhile; if not, reading it says what is wrong.
            connection.rollback()
            from sqlalchemy import inspect

            if not inspect(connection).has_table(name, schema):
                raise

    def _names(self) -> Sequence[str]:
        return list(self._settings.columns) or [*_TEXTS, *_NUMBERS, *_DATA, "time"]

    def _row(self, table: "Table", record: Mapping[str, Any]) -> dict[str, Any]:
        content = self._contents.of(record)
        row = {name: _bound(content.get(name), table.columns[name].type) for name in self._names()}
        return row | {"id": _bound(record["id"], table.columns["id"].type)}


def _table(job: JobSettings, settings: SqlSinkSettings, name: str, schema: str | None) -> "Table":
    """Return the table as it is made where there is none."""
    from sqlalchemy import JSON, BigInteger, Column, DateTime, MetaData, Table, Text
    from sqlalchemy.dialects.postgresql import JSONB

    if settings.columns:
        columns: list[Column[Any]] = [Column(one, Text) for one in settings.columns]
    else:
        kind = job.row_schema[job.time_column].type
        has_moment = kind.has_date and kind is not ColumnType.MONTH
        moment: TypeEngine[Any] = DateTime(timezone=True).with_variant(Text(), "sqlite") if has_moment else Text()
        columns = [Column[Any](one, Text) for one in _TEXTS] + [Column[Any](one, BigInteger) for one in _NUMBERS]
        columns += [Column[Any](one, JSON().with_variant(JSONB(), "postgresql")) for one in _DATA] + [
            Column[Any]("time", moment)
        ]
    return Table(name, MetaData(), Column("id", Text, primary_key=True), *columns, schema=schema)


def _bound(value: Any, kind: "TypeEngine[Any]") -> Any:
    """Return a value as a column of a type takes it."""
    from sqlalchemy import JSON, Date, DateTime, Numeric, String

    if value is None:
        return None
    if isinstance(kind, JSON):
        return _storable(value)
    if isinstance(kind, DateTime | Date) and isinstance(value, str):
        return _moment(value, is_day=isinstance(kind, Date), is_zoned=bool(getattr(kind, "timezone", False)))
    if isinstance(value, Mapping | list):
        return json.dumps(_storable(value), ensure_ascii=False, default=str)
    if isinstance(kind, String):
        return _storable(str(value))
    return float(value) if isinstance(kind, Numeric) and isinstance(value, int | float) else value


def _moment(text: str, *, is_day: bool, is_zoned: bool) -> date | datetime | str:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        # The database says what it makes of it.
        return text
    if is_day:
        return found.date()
    zoned = found if found.tzinfo else found.replace(tzinfo=UTC)
    return zoned if is_zoned else zoned.astimezone(UTC).replace(tzinfo=None)


def _storable(value: Any) -> Any:
    """Return data whose texts databases can hold, which have no NUL."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_storable(str(name)): _storable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(one) for one in value]
    # Neither is infinity, or what is no number.
    return None if isinstance(value, float) and value - value != 0 else value


def _reason(error: Exception) -> str:
    said = getattr(error, "orig", None) or error
    # The driver of PostgreSQL has the parts of what the server says.
    if said.args and isinstance(said.args[0], Mapping):
        return f"the database says: {said.args[0].get('M', said)}"[:_REASON_LENGTH_MAX]
    reason = f"{said}: {said.__cause__}" if said.__cause__ is not None else str(said)
    return " ".join(reason.split())[:_REASON_LENGTH_MAX]


def open_engine(url: str, settings: SqlSinkSettings, password: str | None, tls: Any) -> "Engine":
    """Return an engine of a database, which connects when it is asked something; `url` is the address itself.

    Raises:
        SinkError: the clients are not installed, or there is no such kind of database.
    """
    # The driver of PostgreSQL is imported by SQLAlchemy, by its name.
    need("sql", lambda text: SinkError(f"sink {settings.identity}: {text}"))
    import sqlalchemy
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.pool import NullPool

    try:
        place = make_url(url)
    except ArgumentError as error:
        raise SinkError(f"sink {settings.identity}: the address of the database is none") from error
    if place.drivername == "sqlite":
        arguments: dict[str, Any] = {"timeout": settings.timeout}
        return sqlalchemy.create_engine(place, poolclass=NullPool, connect_args=arguments, json_serializer=_json)
    if place.drivername != "postgresql":
        raise SinkError(f"sink {settings.identity}: a database {place.drivername!r} is none that this sink knows")
    place = place.set(drivername="postgresql+pg8000")
    if settings.security.username is not None:
        place = place.set(username=settings.security.username, password=password)
    arguments = {"timeout": settings.timeout, "ssl_context": tls, "application_name": "tocsin"}
    return sqlalchemy.create_engine(
        place, pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=arguments, json_serializer=_json
    )


def _json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, default=str)
