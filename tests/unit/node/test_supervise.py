"""The supervisor gives up a node that never ran, and no other."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.node.supervise import CANNOT_RUN, RESTART_S_MAX, Supervised


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a node whose process says at each look that it cannot run; `clock` holds the time."""
    clock = SimpleNamespace(now_s=100.0, start_count=0)

    def start(*_: object, **__: object) -> Any:
        clock.start_count += 1
        return SimpleNamespace(poll=lambda: CANNOT_RUN)

    monkeypatch.setattr("time.monotonic", lambda: clock.now_s)
    monkeypatch.setattr("subprocess.Popen", start)
    supervised: Any = Supervised(tmp_path)
    supervised.clock = clock
    return supervised


def test_a_node_that_cannot_run_at_its_start_is_given_up(node: Any) -> None:
    assert node.look()
    assert not node.look()


def test_a_node_that_has_run_is_started_again_however_often_it_cannot_run(node: Any) -> None:
    node.look()
    node.clock.now_s += RESTART_S_MAX + 1
    for _ in range(5):
        assert node.look()
        node.clock.now_s += RESTART_S_MAX
        assert node.look()
    assert node.clock.start_count == 6


def test_a_node_for_whose_log_there_is_no_room_is_started_later(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("subprocess.Popen", start)
        assert node.look()
    assert node.look()
    node.clock.now_s += RESTART_S_MAX
    node.look()
    assert node.clock.start_count == 1
