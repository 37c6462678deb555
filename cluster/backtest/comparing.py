"""Comparing what two jobs find in the same input, as people do who look for the right threshold. Pure.

Metrics are paired by their text, those left over by their order. An anomaly of both has the same row and the same
time in both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from cluster.backtest.counting import Backtest
from cluster.backtest.summary import shown_keys, shown_metric, shown_time
from cluster.show.text import show_rows

EXAMPLES_MAX = 3
"""Anomalies of one job alone that are named for each metric."""

Pair = tuple[int | None, int | None]


def compare(first: Backtest, second: Backtest) -> list[dict[str, Any]]:
    """Return for each pair of metrics how many anomalies both jobs have, and how many each has alone."""
    left, right = ([shown_metric(side, i) for i in range(len(side.metrics))] for side in (first, second))
    return [_compared(first, second, pair) for pair in pair_metrics(left, right)]


def pair_metrics(first: Sequence[str], second: Sequence[str]) -> list[Pair]:
    """Return which metrics belong together, in the order of the first job's; `None` where there is no partner."""
    partners: dict[int, int] = {}
    for i, text in enumerate(first):
        same = [j for j, other in enumerate(second) if other == text and j not in partners.values()]
        if same:
            partners[i] = same[0]
    alone = [i for i in range(len(first)) if i not in partners]
    other = [j for j in range(len(second)) if j not in partners.values()]
    partners |= dict(zip(alone, other, strict=False))
    pairs: list[Pair] = [(i, partners.get(i)) for i in range(len(first))]
    return pairs + [(None, j) for j in other[len(alone) :]]


def _compared(first: Backtest, second: Backtest, pair: Pair) -> dict[str, Any]:
    left, right = _ids(first, pair[0]), _ids(second, pair[1])
    names = left.columns
    only_left, only_right = left.join(right, on=names, how="anti"), right.join(left, on=names, how="anti")
    return {
        "types": list(pair),
        "metrics": [
            None if index is None else shown_metric(side, index)
            for side, index in zip((first, second), pair, strict=True)
        ],
        "anomalies": [left.height, right.height],
        "both": left.height - only_left.height,
        "only": [only_left.height, only_right.height],
        "examples": [_examples(first, only_left), _examples(second, only_right)],
    }


def _ids(side: Backtest, index: int | None) -> pl.DataFrame:
    assert side.ids is not None
    return side.ids.filter(pl.col("type") == (-1 if index is None else index)).drop("type")


def _examples(side: Backtest, only: pl.DataFrame) -> list[dict[str, Any]]:
    few = only.sort("split", "offset", "time").head(EXAMPLES_MAX)
    return [{**line, "time": shown_time(side, line["time"])} for line in shown_keys(side, few)]


def show_comparison(first: str, second: str, compared: Sequence[Mapping[str, Any]]) -> str:
    """Return a comparison as text; the jobs go by the names given."""
    names = (f"metric of {first}", f"metric of {second}", "both", f"only {first}", f"only {second}")
    rows = [
        [*(text or "-" for text in line["metrics"]), str(line["both"]), *(str(count) for count in line["only"])]
        for line in compared
    ]
    lines = [show_rows(names, rows)]
    for line in compared:
        sides = zip((first, second), line["metrics"], line["examples"], line["only"], strict=True)
        for name, text, examples, count in sides:
            times = [f"{one['time']} (offset {one['offset']})" for one in examples]
            times += ["..."] if count > len(examples) else []
            lines += [f"only {name}, {text}: {', '.join(times)}"] if examples else []
    return "\n".join(lines)
