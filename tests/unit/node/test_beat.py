"""A node's beats reach the supervisor and systemd, and never keep it waiting."""

import os
import socket
from pathlib import Path

import pytest

from cluster.node.beat import BEAT_S, BEAT_VARIABLE, SYSTEMD_VARIABLE, Beat


def test_a_beat_goes_through_the_pipe_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    listening, beating = os.pipe()
    environment = {BEAT_VARIABLE: str(beating), "HOME": "/"}
    beat = Beat(environment)
    assert environment == {"HOME": "/"}
    now_s = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    beat.give()
    beat.give()
    now_s += BEAT_S
    beat.give()
    assert os.read(listening, 10) == b".."
    os.close(listening)
    now_s += BEAT_S
    beat.give()
    os.close(beating)


def test_a_full_pipe_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    listening, beating = os.pipe()
    beat = Beat({BEAT_VARIABLE: str(beating)})
    times = iter(range(10**6))
    monkeypatch.setattr("time.monotonic", lambda: 10.0 * next(times))
    for _ in range(70_000):
        beat.give()
    os.close(listening)
    os.close(beating)


def test_who_started_by_hand_beats_for_nobody() -> None:
    Beat({}).give()
    Beat({SYSTEMD_VARIABLE: "/nobody/there"}).give()


def test_a_beat_reaches_systemd(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        address = str(tmp_path / "s")
        listening.bind(address)
        Beat({SYSTEMD_VARIABLE: address}).give()
        assert listening.recv(100) == b"WATCHDOG=1"
