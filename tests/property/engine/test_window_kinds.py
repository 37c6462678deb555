"""All kinds of windows, late rows, ticks and forgotten keys together: cuts and restores change nothing."""

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.engine import AnomalyDetectionEngine
from actors.engine.episodes.episode import LifecycleSettings

SCHEMA = {"time": "DATETIME", "sym": "SYMBOL", "qty": "INT"}
METRICS = ["sum(qty) > 5", "qty > avg(qty)", "percentile(qty, 50) > 1", "qty > prev(qty)", "count(qty) > 2"]

KINDS: list[dict[str, Any]] = [
    {"window_size": 10, "step": 3},
    {"window_size": 3, "step": 10, "window_offset": 4},
    {"window_rows": 4, "step": 3},
    {"window_rows": 2, "step": 5},
    {"window_gap": 6},
    {"window_size": 10, "step": 3, "empty_windows": "zero"},
    {"window_size": 4, "step": 4, "empty_windows": "zero"},
    {"align": "day", "timezone": "Europe/Berlin"},
]

Row = tuple[int | None, str, int | None]


@st.composite
def streams(draw: st.DrawFn, unit: int) -> list[Row]:
    now, rows = 1_774_000_000, []
    for _ in range(draw(st.integers(0, 30))):
        now += draw(st.integers(-3, 9)) * unit
        time = None if draw(st.integers(0, 30)) == 0 else now
        rows.append((time, draw(st.sampled_from("ABC")), draw(st.none() | st.integers(0, 5))))
    return rows


def run(given: dict[str, Any], rows: list[Row], cuts: set[int], ticks: set[int], *, restores: bool) -> list[Any]:
    """Return all that an engine gives for rows, with a tick after some of them, and its state at the end."""

    def make() -> AnomalyDetectionEngine:
        lifecycles = [LifecycleSettings(hold=2), None, LifecycleSettings(keep_firing=5), None, None]
        return AnomalyDetectionEngine("kinds", METRICS, SCHEMA, "time", ["sym"], lifecycles=lifecycles, **given)

    engine, found, start = make(), [], 0
    late: list[Any] = []
    notices: list[Any] = []
    for stop in sorted({*cuts, *ticks, len(rows)}):
        if stop > len(rows):
            break
        if stop > start:
            found += engine.append(rows[start:stop]).rows()
        if stop in ticks and (times := [row[0] for row in rows[:stop] if row[0] is not None]):
            found += engine.advance(max(times)).rows()
        late += engine.take_late().rows()
        notices += engine.take_episodes().notices
        engine.validate()
        if restores:
            engine, state = make(), engine.snapshot()
            engine.restore(state)
            assert engine.snapshot() == state
        start = stop
    return [found, late, notices, engine.snapshot()]


@pytest.mark.parametrize("kind", KINDS, ids=[str(kind) for kind in KINDS])
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    cuts=st.sets(st.integers(0, 30), max_size=5),
    ticks=st.sets(st.integers(1, 30), max_size=4),
    lateness=st.sampled_from([0, 0, 4]),
    is_forgetful=st.booleans(),
)
def test_cuts_and_restores_change_nothing(
    kind: dict[str, Any], data: st.DataObject, cuts: set[int], ticks: set[int], lateness: int, is_forgetful: bool
) -> None:
    unit = 15_000 if "align" in kind else 1
    rows = data.draw(streams(unit))
    closes = "window_rows" not in kind or lateness > 0
    arguments = kind | {"max_lateness": lateness * unit, "ticks_close_windows": closes, "explain": "all"}
    if is_forgetful:
        arguments["idle_key_ttl"] = 20 if unit == 1 else 200_000
    whole = run(arguments, rows, set(), ticks, restores=False)
    assert run(arguments, rows, cuts, ticks, restores=True) == whole
    assert run(arguments, rows, set(range(31)), ticks, restores=False) == whole


def test_each_row_of_a_session_counts_once_however_long_it_lasts() -> None:
    engine = AnomalyDetectionEngine("long", ["count(qty) > 0"], SCHEMA, "time", window_gap="1m", explain="windows")
    frame = pl.DataFrame({"time": range(0, 60_000, 59), "sym": "A", "qty": 1}).cast({"time": pl.Datetime("ms")})
    seconds = frame.with_columns(time=pl.from_epoch(pl.Series(range(0, 59 * frame.height, 59)), "s"))
    assert engine.append(seconds).is_empty()
    engine = AnomalyDetectionEngine(
        "long", ["count(qty) > 0"], SCHEMA, "time", window_gap="1m", explain="windows", ticks_close_windows=True
    )
    engine.append(seconds)
    last = 59 * (frame.height - 1)
    (found,) = engine.advance(last + 60)["detail"]
    assert found == f'{{"window": {{"start": 0, "end": {last + 60}, "rows": {frame.height}}}}}'
