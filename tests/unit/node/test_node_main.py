"""What a node process makes of its environment before it begins."""

import os
import sys

import pytest

from cluster.node.node_main import keep_compiled


def test_what_is_started_from_a_node_keeps_what_python_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    keep_compiled()
    assert ("PYTHONDONTWRITEBYTECODE" in os.environ, sys.dont_write_bytecode) == (False, False)
