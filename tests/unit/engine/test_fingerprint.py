"""The fingerprint of an engine: snapshots outlive changes of how metrics are printed."""

import pytest

from tests.unit.engine.support import engine


@pytest.mark.parametrize(
    ("metric", "fingerprint"),
    [
        ("qty > 5 and not (flag)", "9aab2f6109e07b6c6ce2d885c63a928e"),
        ("!not flag or sym == 'not (x)'", "69dbb799fcb7d0cd8282798d497c0ebb"),
        ("qty < 4", "16c04a24300853715039d9df79031d9f"),
    ],
)
def test_the_fingerprint_of_a_metric_does_not_change(metric: str, fingerprint: str) -> None:
    assert engine(metric).fingerprint == fingerprint
