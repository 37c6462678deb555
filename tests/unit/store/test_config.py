"""Settings as plain data."""

from typing import Any

import pytest

from actors.store import OrderBy, StoreConfig
from actors.store.config import OrphanPolicy
from actors.store.errors import StoreConfigError
from actors.store.events.limits import Limit
from actors.store.events.patterns import PatternSet

WHOLE: dict[str, Any] = {
    "identifier": "plant",
    "latest": {"subscriptions": [["*"]]},
    "sets": [{"subscriptions": [["a", "*"]], "timestamp_limit": {"max_entries": 10}}],
    "series": [{"order_by": "SOURCE_TIMESTAMP", "subscriptions": [["b"]], "limit": {"duration": 1.5}}],
    "conditions": [
        {
            "subscriptions": [["a", "?"]],
            "condition": {
                "type": "any",
                "conditions": [
                    {"type": "json", "data_path": ["k", 0], "data_value": None},
                    {"type": "all", "conditions": []},
                ],
            },
        }
    ],
    "flush_period_ms": None,
    "orphans": "drop",
    "timeseries_max_results": 7,
}


def test_settings_are_read_from_plain_data() -> None:
    config = StoreConfig.from_mapping(WHOLE)
    assert (config.identifier, config.flush_period_ms, config.timeseries_max_results) == ("plant", None, 7)
    assert config.orphans is OrphanPolicy.DROP
    assert [(one.order_by, one.subscriptions.patterns, one.limit) for one in config.all_series()] == [
        (OrderBy.TIMESTAMP, (("a", "*"),), Limit(max_entries=10)),
        (OrderBy.SOURCE_TIMESTAMP, (("a", "*"),), Limit()),
        (OrderBy.SOURCE_TIMESTAMP, (("b",),), Limit(duration=1.5)),
    ]
    assert config.conditions[0].subscriptions == PatternSet([("a", "?")])
    assert config.conditions[0].describe()[1] == ["any", [["json", "['k', 0]", None, ["None"]], ["all", []]]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"serie": []}, "store has the unknown key 'serie'"),
        ({"latest": {}}, "latest has no subscriptions"),
        ({"latest": {"subscriptions": "a"}}, "latest.subscriptions is 'a'; give a list"),
        ({"sets": [{"subscriptions": [], "limit": {}}]}, r"sets\[0\] has the unknown key 'limit'"),
        ({"series": [{"order_by": "time", "subscriptions": []}]}, r"series\[0\].order_by is 'time'"),
        (
            {"series": [{"order_by": "TIMESTAMP", "subscriptions": [], "limit": {"size": -1}}]},
            r"series\[0\].limit: limit size is -1",
        ),
        (
            {"conditions": [{"subscriptions": [], "condition": {"type": "no"}}]},
            r"conditions\[0\].condition.type is 'no'",
        ),
        ({"latest": {"subscriptions": [["*", "a"]]}}, "before its end"),
        ({"flush_period_ms": 0}, "flush_period_ms is 0"),
        ({"flush_period_ms": 2**64}, "flush_period_ms is 18446744073709551616; give a number from 1 to"),
        ({"flush_row_count": "many"}, "flush_row_count is 'many'"),
        ({"timeseries_max_results": -1}, "timeseries_max_results is -1"),
        ({"pending_size_bytes_max": 0}, "pending_size_bytes_max is 0"),
        ({"identifier": 5}, "identifier is 5"),
        ({"orphans": "burn"}, "orphans is 'burn'; use one of keep, drop"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreConfigError, match=message):
        StoreConfig.from_mapping(WHOLE | change)
