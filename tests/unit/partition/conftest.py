"""Partitions over real LMDB that does not wait for the disk."""

import pytest

from tests.support.partition_jobs import skip_sync


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_sync(monkeypatch)
