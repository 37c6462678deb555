"""Avro files: records as those of JSON, from any offset, and what damaged ones are."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from actors.errors import SourceError
from actors.source.format import avro as avro_files
from actors.source.open import open_source
from actors.source.protocol import Source
from tests.support.jobs import make_trades_job
from tests.support.reading import read_split

fastavro = pytest.importorskip("fastavro", reason="Avro is read by fastavro, from the extra `avro`")

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "trade",
    "fields": [
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "sym", "type": ["null", "string"]},
        {"name": "of", "type": {"type": "record", "name": "inner", "fields": [{"name": "qty", "type": "double"}]}},
    ],
}
RECORDS = [
    {"time": datetime.fromtimestamp(number, UTC), "sym": f"A\n{number}", "of": {"qty": number}} for number in range(500)
]


def packed(records: list[dict[str, Any]] = RECORDS, **options: Any) -> bytes:
    content = io.BytesIO()
    fastavro.writer(content, SCHEMA, records, sync_interval=500, **options)
    return content.getvalue()


def open_file(path: Path) -> Source:
    job = make_trades_job({"path": str(path), "columns": {"qty": "of.qty"}})
    return open_source(job, path.parent, positions=path.parent / "kept")


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_records_are_rows_from_any_offset(tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avro_files, "BLOCK_RECORD_COUNT", 64)
    path = tmp_path / "a.avro"
    path.write_bytes(packed(codec=codec))
    found = read_split(open_file(path))
    assert found.rows == tuple((n, (n * 1000, f"A\n{n}", n)) for n in range(500))
    source = open_file(path)
    for start in (400, 3, 499):
        assert source.read(0, start, 1).frame["qty"].to_list() == [start]
    source.close()


def test_values_that_do_not_fit_are_dead_letters(tmp_path: Path) -> None:
    path = tmp_path / "a.avro"
    odd = [RECORDS[0] | {"of": {"qty": value}} for value in (1.5, float("nan"), 2.0)]
    path.write_bytes(packed([*odd, RECORDS[1] | {"sym": None}]))
    found = read_split(open_file(path))
    assert [(offset, row[1:]) for offset, row in found.rows] == [(2, ("A\n0", 2)), (3, (None, 1))]
    assert [one.offset for one in found.dead_letters] == [0, 1]


def test_a_file_that_is_damaged_cut_or_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    whole = packed()
    for number, content in enumerate((whole[:-100], whole[:50], b"no avro", b"", whole[:2_000] + b"\0" * 50)):
        path = tmp_path / f"{number}" / "a.avro"
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"a\.avro: cannot be read as Avro: "):
            read_split(open_file(path))


def test_a_file_that_was_replaced_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.avro"
    path.write_bytes(packed())
    source = open_file(path)
    assert source.read(0, 0, 10).next_offset == 10
    path.write_bytes(packed(RECORDS[1:] + RECORDS[:1]))
    for one in (source, open_file(path)):
        with pytest.raises(SourceError, match=r"was replaced or changed|has become shorter"):
            one.read(0, 500, 10) if one is source else one.read(0, 10, 10)
