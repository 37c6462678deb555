"""One real cluster for the whole tier: Ray processes, three members, Raft over sockets, LMDB on disk."""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from actors.partition.anomaly_table import decode_entry
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home
from cluster.local.speed import slowness
from tests.support.trades import entries_alone, write_trades

if TYPE_CHECKING:
    from cluster.client.client import Client

HOME = Home(Path(tempfile.mkdtemp(prefix="tocsin-tests-")))

# Ray reads its environment when it is imported, which the modules of this tier do.
prepare_environment(HOME)


@atexit.register
def _remove_unused() -> None:
    """Remove the home that a worker has made which ran no test on it."""
    with suppress(OSError):
        HOME.directory.rmdir()


ROW_COUNT = 120_000
"""Rows of the file that jobs replay while they are scaled; enough for hosts to start on the way."""

SHORT_ROW_COUNT = 50_000
"""Rows of the other file; enough to be killed on the way."""


# Of the package, not the session: the worker that begins with this tier runs others afterwards, without a cluster.
@pytest.fixture(scope="package")
def home() -> Iterator[Home]:
    """Return the home of a running cluster."""
    with local_cluster(HOME, ClusterOptions(has_dashboard=True)):
        yield HOME
    shutil.rmtree(HOME.directory, ignore_errors=True)


@pytest.fixture(scope="package")
def client(home: Home) -> "Client":
    """Return a client of the cluster."""
    from cluster.client.client import Client

    return Client(home)


@pytest.fixture(scope="session")
def long_trades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Parquet file of trades."""
    path = tmp_path_factory.mktemp("trades") / "long.parquet"
    write_trades(path, ROW_COUNT, key_count=200, seed=7)
    return path


@pytest.fixture(scope="session")
def trades(long_trades: Path) -> Path:
    """Return a file of the first of these trades."""
    path = long_trades.parent / "trades.parquet"
    pl.read_parquet(long_trades).head(SHORT_ROW_COUNT).write_parquet(path, row_group_size=20_000)
    return path


@pytest.fixture(scope="session")
def long_expected(long_trades: Path) -> list[tuple[bytes, bytes]]:
    """Return the anomaly table of one undisturbed run in this process."""
    return entries_alone(long_trades, ROW_COUNT)


@pytest.fixture(scope="session")
def expected(long_expected: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the part of this table that comes from the first trades: what a row raises depends on those before it."""
    return [entry for entry in long_expected if decode_entry(*entry).id.offset < SHORT_ROW_COUNT]


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Return a function that waits for a condition, with a deadline."""

    def wait(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        timeout_s *= slowness()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"not within {timeout_s} s: {condition}")

    return wait
