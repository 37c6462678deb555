"""Bodies of requests, cut into records: what is no body of the format is refused, with what is wrong.

Single records that cannot be read are dead letters later, as everywhere; but a body of which none can be read is a
mistake of its sender, who is told.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from actors.errors import SourceError, TocsinError
from actors.source.format.influx import PRECISIONS, cut_lines, precision_header
from actors.source.format.text import TextFormat
from actors.source.records import DecodedRows, Origin, Texts
from actors.source.transport.pipe import RecordCutter
from config.formats import (
    CsvFormatSettings,
    FormatSettings,
    InfluxFormatSettings,
    MsgpackFormatSettings,
    NdjsonFormatSettings,
)

LOOKED_AT_MAX = 1_000
"""Records of a body that are looked at, at most, until one can be read."""

_HEADER_COUNT_MAX = 64
_SOME_TIME_US = 1_767_225_600_000_000


class BodyError(TocsinError):
    """A body is none of the format; the message says why."""


class BodyCutter:
    """Cuts bodies of one format; `name` is what people call where they come to."""

    def __init__(self, settings: FormatSettings, form: TextFormat, name: str) -> None:
        self._settings = settings
        self._form = form
        self._name = name
        self._decoders: OrderedDict[str | None, Callable[[Texts], DecodedRows]] = OrderedDict()

    def cut(self, body: bytes, content_type: str, query: Mapping[str, str]) -> tuple[list[bytes], str | None]:
        """Return the records of a body, and what its sender says of how they are written.

        Raises:
            BodyError: it holds none that can be read.
        """
        if isinstance(self._settings, MsgpackFormatSettings):
            if not body:
                raise BodyError("the body holds no records")
            self._look([body], None)
            return [body], None
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BodyError(f"the body is not UTF-8 text: byte {error.start} is {body[error.start]:#04x}") from None
        if isinstance(self._settings, InfluxFormatSettings):
            records, header = cut_lines(body), _precision_of(query)
        else:
            records, header = self._records(body, content_type)
        records = [record for record in records if record.strip()]
        if not records:
            raise BodyError("the body holds no records")
        self._look(records, header)
        return records, header

    def _records(self, body: bytes, content_type: str) -> tuple[list[bytes], str | None]:
        if isinstance(self._settings, NdjsonFormatSettings) and content_type == "application/json":
            whole = _whole_json(body)
            if whole is not None:
                return whole, None
        cutter = RecordCutter(self._form.framing)
        records = cutter.cut(body, is_end=True)
        has_header = isinstance(self._settings, CsvFormatSettings) and self._settings.header
        if has_header and not cutter.header:
            raise BodyError("the body has no first line that names the columns")
        return records, cutter.header.decode() if cutter.header else None

    def _look(self, records: list[bytes], header: str | None) -> None:
        """Check that the format can read one of the records.

        Raises:
            BodyError: it cannot.
        """
        try:
            decode = self._decoder(header)
        except SourceError as error:
            raise BodyError(str(error)) from error
        reason = ""
        for looked_at in (records[:1], records[1:LOOKED_AT_MAX]):
            found = decode(Texts.of_messages(looked_at, self._meta(len(looked_at)))) if looked_at else None
            if found is not None and (found.frame.height or not found.faults):
                return
            reason = reason or (next(iter(found.faults.values())) if found is not None else "")
        raise BodyError(f"no record of the body can be read; of one: {reason}")

    @staticmethod
    def _meta(count: int) -> dict[str, pl.Series]:
        # Some time, so that a record that has none of its own is one that can be read.
        return {"$received": pl.repeat(_SOME_TIME_US, count, dtype=pl.Int64, eager=True).cast(pl.Datetime("us"))}

    def _decoder(self, header: str | None) -> Callable[[Texts], DecodedRows]:
        decode = self._decoders.pop(header, None)
        if decode is None:
            encoded = None if header is None else header.encode()
            decode = self._form.decoder(Origin(name=self._name, stem=self._name, header=encoded))
        self._decoders[header] = decode
        while len(self._decoders) > _HEADER_COUNT_MAX:
            self._decoders.popitem(last=False)
        return decode


def _precision_of(query: Mapping[str, str]) -> str | None:
    """Return what a request says of the unit of its times.

    Raises:
        BodyError: it is no unit.
    """
    precision = query.get("precision")
    if precision is None:
        return None
    if precision not in PRECISIONS:
        raise BodyError(f"there is no precision {precision!r}; use one of {', '.join(PRECISIONS)}")
    return precision_header(precision)


def _whole_json(body: bytes) -> list[bytes] | None:
    """Return the records of a JSON document: itself, or the elements of its list; `None` when it is lines.

    Raises:
        BodyError: it is neither.
    """
    try:
        found: Any = json.loads(body)
    except RecursionError:
        raise BodyError("the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return None
        raise BodyError(f"the body is no JSON: {error}") from None
    except ValueError:
        raise BodyError("the body is no JSON that can be read: a number has too many digits") from None
    if not isinstance(found, list):
        return [body.strip()]
    return [json.dumps(one, ensure_ascii=False).encode("utf-8", "surrogatepass") for one in found]
