"""Hundreds of events through small blocks: long chains, many runs, limits that move; always as the naive store."""

import random
from pathlib import Path

import pytest

from actors.store import Event, EventId, EventStore, JsonPayload, Order, OrderBy, QueryTimeseriesParams, Timestamp
from tests.property.store.test_store_machine import CONFIGS
from tests.support.naive_store import NaiveStore, kinds
from tests.support.store_setup import small_blocks

WORDS = [("a", "x"), ("a", "x", "1"), ("b", "y"), ("b",), ("c",), ("rare",)]
WEIGHTS = [30, 30, 30, 20, 10, 1]


def make_events(rng: random.Random, count: int) -> list[Event]:
    events, ticks = [], 0
    for number in range(1, count + 1):
        ticks += rng.choice([0, 0, 1, 1_000_000])
        source = Timestamp.from_ticks(max(0, ticks + rng.randrange(-9, 3) * 1_000_000 * rng.randrange(3)))
        words = rng.choices(WORDS, WEIGHTS)[0]
        origin = source if rng.random() < 0.9 else None
        event_id = EventId(rng.randrange(1, 3), number, 1)
        # Payloads of two layouts, and some of none.
        payload = JsonPayload({"n": number, words[0]: rng.choice(words)} if number % 7 else number)
        events.append(Event(event_id, words, Timestamp.from_ticks(ticks), origin, payload))
    return events


@pytest.mark.parametrize("config", range(len(CONFIGS)))
@pytest.mark.parametrize("seed", range(2))
def test_hundreds_of_events_are_found_as_in_lists(tmp_path: Path, seed: int, config: int) -> None:
    rng = random.Random(seed)
    naive, now_us = NaiveStore(CONFIGS[config]), 60_000_000
    with small_blocks(row_count=5), EventStore.open(tmp_path, CONFIGS[config], clock=lambda: now_us) as store:
        waiting = make_events(rng, 400)
        while waiting:
            batch, waiting = waiting[: rng.randrange(1, 25)], waiting[24:]
            assert kinds(store.register(batch)) == naive.register(batch)
            if rng.random() < 0.7:
                store.flush()
                naive.flush(now_us)
            for _ in range(3):
                low, high = sorted(Timestamp(rng.randrange(0, 130), 0) for _ in range(2))
                params = QueryTimeseriesParams(
                    event_types=rng.choice([None, (("rare",),), (("a", "*"),), (("b", "y"), ("c",))]),
                    order=rng.choice(list(Order)),
                    order_by=rng.choice(list(OrderBy)),
                    t_from=low if rng.random() < 0.3 else None,
                    source_t_to=high if rng.random() < 0.5 else None,
                    max_results=rng.choice([None, 3, 40]),
                )
                assert store.query(params) == naive.query(params)
