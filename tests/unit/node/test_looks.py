"""A look that fails is logged and taken again."""

import logging
import threading

import pytest

from cluster.node.looks import look_for_ever


def test_a_look_that_fails_is_logged_and_taken_again(caplog: pytest.LogCaptureFixture) -> None:
    count, has_looked_again = 0, threading.Event()

    def look() -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise OSError("away")
        has_looked_again.set()
        threading.Event().wait()

    with caplog.at_level(logging.ERROR):
        look_for_ever(look, trouble="nobody has looked", every_s=0.0)
        assert has_looked_again.wait(10)
    assert [record.message for record in caplog.records] == ["nobody has looked"]
