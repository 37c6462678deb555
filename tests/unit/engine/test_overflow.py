"""What does not fit into 64 bits: whole numbers wrap around, in both executors; real results are exact or NULL."""

import pytest

from actors.engine import AnomalyDetectionEngine

BIG = (1 << 63) - 1
ROWS = [(0, BIG, -BIG - 1, -1, 1.7e308), (1, BIG, -BIG - 1, -1, 1.7e308), (9, 1, 1, 1, 1.0)]
SCHEMA = {"t": "TIMESTAMP", "a": "LONG", "c": "LONG", "d": "LONG", "r": "DOUBLE"}


@pytest.mark.parametrize(
    "metric",
    [
        "a + 1 == c",
        "c - 1 == a",
        "a * 2 == -2",
        "square(a) == 1",
        "abs(c) == c",
        "-c == c",
        "c / d == c",
        "sum(a) == -2",
        "wsum(a, a) == 2",
        "prod(a) == 1",
        "cumsum(a) == -2",
        "double(a) + 1 > 9.2e18",
        "c \\ d > 9.2e18",
        "avg(a) > 9.2e18",
        "sum2(a) > 1e38",
        "isNull(r + r)",
        "isNull(r * 2)",
        "isNull(sum(r))",
    ],
)
@pytest.mark.parametrize("few_rows_max", [0, 400])
def test_what_is_beyond_64_bits_is_what_the_page_says(metric: str, few_rows_max: int) -> None:
    engine = AnomalyDetectionEngine("t", [metric], SCHEMA, "t", [], 2, 2)
    engine.few_rows_max = min(few_rows_max, engine.few_rows_max)
    assert engine.append(ROWS)["offset"].len() >= 1
