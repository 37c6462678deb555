"""Partitions of the tests do not wait for the disk, and are validated after every step."""

from collections.abc import Callable
from typing import Any

import pytest

from actors.partition.partition import Partition
from tests.support.partition_jobs import skip_sync

STEPS = ("begin", "apply", "accept", "flush", "flush_if_due", "restore", "acknowledge")


@pytest.fixture(autouse=True)
def fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    skip_sync(monkeypatch)


@pytest.fixture(autouse=True)
def validated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STEPS:
        monkeypatch.setattr(Partition, name, validating(getattr(Partition, name)))


def validating(step: Callable[..., Any]) -> Callable[..., Any]:
    def run(partition: Partition, *given: Any, **named: Any) -> Any:
        try:
            return step(partition, *given, **named)
        finally:
            partition.validate()

    return run
