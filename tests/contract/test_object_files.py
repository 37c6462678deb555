"""Objects of S3 and of Google Cloud Storage as files of a source, with servers that speak as these do."""

import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.allowed import AllowedPaths
from actors.errors import SourceError
from actors.source.open import open_source
from actors.source.protocol import Source
from actors.source.surroundings import Surroundings
from actors.source.transport.remote import open as opening
from tests.support.jobs import make_trades_job
from tests.support.object_stores import KEYS, gs_server, put_gs, s3_client, s3_server
from tests.support.reading import read_split

HEADER = "time,sym,qty\n"


@dataclass
class Bucket:
    """A bucket of one of the stores."""

    url: str
    put: Callable[[str, bytes], Any]
    options: dict[str, Any]
    delete: Callable[[str], Any] | None = None


@pytest.fixture(scope="module")
def s3() -> Iterator[Bucket]:
    with s3_server() as endpoint:
        client = s3_client(endpoint)
        client.create_bucket(Bucket="rows")
        yield Bucket(
            url="s3://rows",
            put=lambda name, content: client.put_object(Bucket="rows", Key=name, Body=content),
            options={"endpoint": endpoint, "region": "us-east-1", "key": "env:AWS_KEY", "secret": "env:AWS_SECRET"},
            delete=lambda name: client.delete_object(Bucket="rows", Key=name),
        )


@pytest.fixture(scope="module")
def gs() -> Iterator[Bucket]:
    with gs_server() as endpoint:
        put = partial(put_gs, endpoint, "rows")
        yield Bucket(url="gs://rows", put=put, options={"endpoint": endpoint, "anonymous": True})


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    found: Bucket = request.getfixturevalue(request.param)
    return found


def rows(start: int, end: int) -> bytes:
    return "".join(f"{number},A,{number % 100}\n" for number in range(start, end)).encode()


def open_objects(
    tmp_path: Path,
    bucket: Bucket,
    *names: str,
    allowed: AllowedPaths | None = None,
    **source: Any,
) -> Source:
    paths = [f"{bucket.url}/{name}" for name in names]
    job = make_trades_job({"path": paths, "storage_options": bucket.options, **source})
    around = Surroundings(environment=KEYS)
    return open_source(job, tmp_path, positions=tmp_path / "kept", allowed=allowed or AllowedPaths(), around=around)


def times(source: Source, start: int = 0) -> list[int]:
    return [row[0] for _, row in read_split(source, start=start).rows]


def test_objects_of_a_pattern_a_folder_and_a_name_are_read_in_their_order(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("one/b.csv", HEADER.encode() + rows(100, 300))
    bucket.put("one/a.csv.gz", gzip.compress(HEADER.encode() + rows(0, 100)))
    bucket.put("one/notes.txt", b"no rows\n")
    bucket.put("one/deep/c.csv", HEADER.encode() + rows(300, 400))
    assert times(open_objects(tmp_path / "1", bucket, "one/*.csv*", type="csv")) == list(range(300))
    assert times(open_objects(tmp_path / "2", bucket, "one/", type="csv")) == list(range(300))
    assert times(open_objects(tmp_path / "3", bucket, "one", type="csv")) == list(range(300))
    assert times(open_objects(tmp_path / "4", bucket, "one/**/*.csv")) == list(range(100, 400))
    assert times(open_objects(tmp_path / "5", bucket, "one/a.csv.gz")) == list(range(100))
    # A restart goes on where it was.
    assert times(open_objects(tmp_path / "1", bucket, "one/*.csv*", type="csv"), start=250) == list(range(250, 300))


def test_an_object_that_was_replaced_is_an_error_in_the_run_and_after_it(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("two/a.csv", HEADER.encode() + rows(0, 100))
    source = open_objects(tmp_path, bucket, "two/a.csv", follow=True)
    assert times(source) == list(range(100))
    bucket.put("two/a.csv", HEADER.encode() + rows(0, 100).replace(b"7,A", b"7,B"))
    for one in (source, open_objects(tmp_path, bucket, "two/a.csv", follow=True)):
        with pytest.raises(SourceError, match=r"two/a\.csv: the file was replaced or changed"):
            one.read(0, 100, 5)
    bucket.put("two/a.csv", HEADER.encode() + rows(0, 10))
    with pytest.raises(SourceError, match=r"two/a\.csv: the file has become shorter"):
        open_objects(tmp_path, bucket, "two/a.csv", follow=True).read(0, 100, 5)


def test_new_objects_of_a_pattern_are_followed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("three/2026-01-01.csv", HEADER.encode() + rows(0, 100))
    source = open_objects(tmp_path, bucket, "three/*.csv", follow=True)
    assert times(source) == list(range(100))
    # One that was written anew with more is gone on with where it was.
    bucket.put("three/2026-01-01.csv", HEADER.encode() + rows(0, 150))
    assert times(source, start=100) == list(range(100, 150))
    bucket.put("three/2026-01-02.csv", HEADER.encode() + rows(150, 200))
    assert len(source.splits()) == 1
    assert times(source, start=150) == list(range(150, 200))
    assert times(open_objects(tmp_path, bucket, "three/*.csv", follow=True), start=199) == [199]


def test_parquet_objects_are_read_from_any_offset(bucket: Bucket, tmp_path: Path) -> None:
    for number in range(3):
        frame = pl.DataFrame({"time": [*range(number * 10, number * 10 + 10)], "sym": ["A"] * 10, "qty": [1] * 10})
        content = io.BytesIO()
        frame.with_columns(pl.col("time").cast(pl.Datetime("ms"))).write_parquet(content)
        bucket.put(f"six/{number}.parquet", content.getvalue())
    source = open_objects(tmp_path, bucket, "six/*.parquet")
    assert times(source) == list(range(30))
    assert times(source, start=9) == list(range(9, 30))
    source.close()
    bucket.put("six/2.parquet", content.getvalue()[:-8] + b"12345678")
    with pytest.raises(SourceError, match=r"six/2\.parquet: the file was replaced or changed"):
        times(open_objects(tmp_path, bucket, "six/*.parquet"), start=29)


def test_what_is_not_there_or_refused_names_the_url(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("four/a.csv", HEADER.encode() + rows(0, 10))
    with pytest.raises(SourceError, match=rf"no file matches {bucket.url}/four/x\*"):
        open_objects(tmp_path, bucket, "four/x*.csv")
    with pytest.raises(SourceError, match=rf"there is no file {bucket.url}/four/b\.csv"):
        open_objects(tmp_path, bucket, "four/b.csv")
    allowed = AllowedPaths.below(["/", f"{bucket.url}/other"])
    with pytest.raises(SourceError, match=r"four/a\.csv may not be read by a job: this node allows .*/other"):
        open_objects(tmp_path, bucket, "four/a.csv", allowed=allowed)
    allowed = AllowedPaths.below([f"{bucket.url}/four"])
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:\d+ may not be read by a job"):
        open_objects(tmp_path, bucket, "four/a.csv", allowed=allowed)
    allowed = AllowedPaths.below([f"{bucket.url}/four", bucket.options["endpoint"]])
    assert times(open_objects(tmp_path, bucket, "four/a.csv", allowed=allowed)) == list(range(10))


def test_an_object_that_is_deleted_after_it_was_read_is_an_error(s3: Bucket, tmp_path: Path) -> None:
    s3.put("five/a.csv", HEADER.encode() + rows(0, 10))
    source = open_objects(tmp_path, s3, "five/*.csv", follow=True)
    assert times(source) == list(range(10))
    assert s3.delete is not None
    s3.delete("five/a.csv")
    with pytest.raises(SourceError, match=r"five/a\.csv is gone while it is followed"):
        source.splits()
    with pytest.raises(SourceError, match=r"five/a\.csv was read before and is gone"):
        open_objects(tmp_path, s3, "five/*.csv", follow=True)


def test_a_store_that_does_not_answer_is_an_error_that_names_the_url(
    s3: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_TRY_COUNT", 1)
    options = s3.options | {"endpoint": "http://127.0.0.1:9"}
    job = make_trades_job({"path": "s3://rows/four/a.csv", "storage_options": options})
    with pytest.raises(SourceError, match=r"s3://rows/four/a\.csv: cannot be read now"):
        open_source(job, tmp_path, around=Surroundings(environment=KEYS))
