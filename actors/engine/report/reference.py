"""Writes `docs/metrics.md`, the reference of the expression language, from the table of functions.

Run as `python -m actors.engine.report.reference docs/metrics.md`.
"""

import sys
from pathlib import Path

from actors.engine.functions.catalogue import FORBIDDEN, FUNCTIONS
from actors.engine.functions.definition import Function, Kind
from actors.engine.language.wording import signature
from actors.engine.report.examples import EXAMPLES, Example

_INTRODUCTION = """\
# Metrics

<!-- Written by `python -m actors.engine.report.reference docs/metrics.md`; do not edit. -->

A metric is an expression that is true for an anomaly. Its position among the metrics is the anomaly's `type`.

| kind | condition | tested | time of the anomaly |
| --- | --- | --- | --- |
| row | no aggregate | for every row | the row's time |
| window | an aggregate; every column is inside one | when a window closes | the window's end, exclusive |
| mixed | an aggregate, and a column outside | for every row, with the aggregates of the latest window | the row's |

A window closes when a later row of its key reaches its end, before that row is tested; empty windows are not computed.
Before the first window of a key, mixed metrics are not tested. With an aggregate in any metric, rows older than their
key's latest row are late: they are counted, set aside and not tested. A metric raises an anomaly on true only.

## NULL

A value that is missing is NULL, and so is NaN, infinity and what cannot be computed, such as a division by zero.
Functions say what they make of it. In comparisons (`<` `<=` `>` `>=` `==` `!=`, `between`, `in`) it depends on `nulls`
of the engine:

| | `smallest` | `unknown` |
| --- | --- | --- |
| a comparison with NULL | NULL is smaller than every value and equal to itself | NULL |
| `x in [1, NULL]` | true for NULL | NULL for what is not found, and for NULL |
| `and` | NULL if either operand is | false if either operand is, else NULL if either is |
| `or` | the other operand; NULL if both are | true if either operand is, else NULL if either is |
| `not`, `xor` | NULL if any operand is | the same |

So with `smallest` the metric `battery < 10` raises one on every row without a battery, and with `unknown` it never
does. The engine counts for each metric how many comparisons met NULL.

## Expressions

Operators, weakest first: `||` `or`; `&&` `and`; `<` `<=` `>` `>=` `==` `!=` `<>` `in` `not in`; `+` `-`;
`*` `/` `\\` `%`; prefix `-` and `!`. A chain `1 < x < 5` means both. `not x and y` negates everything to its right,
`not (x)` only x.

Constants: numbers, `true`, `false`, `NULL`, texts in either quote or as `` `A ``, lists `[1, 2]`,
bounds `1:6`, and lengths of time such as `100ms`, `5s`, `2m`, `1h`, `1d`. A length of time is a window over a time
column (`tmsum(time, x, 5m)`), or stands beside times and lengths of time: `time - prev(time) > 60s`. There it is a
number in their unit, which `+`, `-`, `abs`, `prev`, `max`, `avg` and the like keep, and `*` and `/` do not.

`count(*)` is the number of rows. `col("cpu-load")` is the column of that name, whatever is in it.

An anomaly names its metric by its text with regular spacing: one space around operators and around `and`, `or`, `in`
and `not`, also before a bracket: `not (x)`.

Arguments may be named: `percentile(x, 75, interpolation="lower")`. Names of columns and functions ignore case. Times
are integers in the unit of their column.

Whole numbers, INT as well as LONG, have 64 bits. What does not fit wraps around, from the largest to the smallest:
`+`, `-`, `*`, `square`, `abs`, `sum`, `wsum`, `prod` and what is made of them. Where numbers may become so large write
`double(x)`; `avg`, deviations and the like are real and lose nothing. A real number that is too large is NULL.

Parts may have names. With `let: {errors: "sum(iif(status >= 500, 1, 0))", total: count(*)}` (an argument of the
engine, a key of job files) metrics write `total > 100 and errors \\ total > 0.05`. A part is any expression, of rows
or of windows, may be made of other parts, and is computed once, however many metrics use it; a length of time alone is
none. It cannot have the name of a column, and not be made of itself; a name without brackets is never a function, so a
part may be called `hits` or `sum`. Anomalies say the values of the parts of their metric under their names.

In the examples `x` is a column, with the values of some rows; the value is that at the last of them, or over all.

An order-sensitive function looks at all rows of the key so far; inside an aggregate, at the rows of the window. An
aggregate may stand neither inside another nor inside an order-sensitive function.
"""

_SCALARS = """\
They look at one row, or at aggregates of one window.

`hour`, `minute_of_day`, `weekday` and `date` say what clocks and calendars of a zone show:
`hour(time, "Europe/Berlin") in [8, 9, 10]`. Zones, with all changes of their clocks, are those of the database that
comes with Polars, on every machine the same. An unknown zone is refused when the job is read, and so is the hour of a
DATE, or the day of a TIME. The hour that comes twice when clocks are put back is the same hour both times.

Regular expressions are Rust's (RE2's in the main): they take time in proportion to the text, whatever the pattern, and
have no references back and no look-around."""

_AGGREGATES = """\
They look at all rows of a window.

`earlier(part, n)` is what an expression of aggregates, or a named part, was over the window of the key that ended n
steps before: `errors > 2 * earlier(errors, 1)`, or the same hour of the day before, `earlier(avg(x), 24)`. It is NULL
where that window held no row. It keeps 17 bytes of each window as far as it looks back, up to 10,000 windows.
Metrics of rows compare with the latest computed window, and with the one n steps before that."""

_SEQUENCES = """\
They look at the rows of a key in arrival order.

`tmove(time, x, 7d)` is what x was a week ago. It keeps the rows of a week of each key, 17 bytes a row and more for a
text: 10 MB of a key with a row every second. Give `every=1m` where the last row of each minute will do; that is 170 kB.
With `tolerance=10m` a value that is more than ten minutes older than wanted is NULL, as at a gap in the data; without
it the latest row before is taken, however old. Where times of a key fall back, a row counts at the latest time before.

`increase`, `rate`, `tmprev`, `zscore`, `madScore` and `ewmScore` stand for expressions of others, whose parts an
anomaly shows too. Scores compare a row with those before it, so it does not hide in its own mean: `zscore(x, 50) > 4`.
A band is made in the same way: `x > ewmMean(prev(x), span=20) + 3 * ewmStd(prev(x), span=20)`. Inside an aggregate
`increase` knows the rows of the window alone: what a counter grew by before the first of them is not in their sum."""

_TITLES = {
    Kind.SCALAR: ("Scalar functions and operators", _SCALARS),
    Kind.AGGREGATE: ("Aggregates", _AGGREGATES),
    Kind.SEQUENCE: ("Order-sensitive functions", _SEQUENCES),
}


def reference() -> str:
    """Return the text of the reference."""
    parts = [_INTRODUCTION]
    for kind, (title, text) in _TITLES.items():
        rows = [_row(function) for function in FUNCTIONS if function.kind is kind]
        head = "| function | value | NULL | example |\n| --- | --- | --- | --- |"
        parts.append("\n".join([f"## {title}\n\n{text}\n\n{head}", *rows]) + "\n")
    refused = [f"- `{name}`: {way_out}" for name, way_out in FORBIDDEN.items()]
    parts.append("\n".join(["## Refused functions\n", *refused]) + "\n")
    return "\n".join(parts)


def example_of(function: Function) -> Example:
    """Return the example of a function; where a scalar has the name of an aggregate, it comes first."""
    own = [example for example in EXAMPLES if example.function == function.name]
    return own[-1] if function.kind is Kind.AGGREGATE else own[0]


def _row(function: Function) -> str:
    sign = f" `{function.sign}`" if function.sign and function.sign not in (function.name, "neg", "not") else ""
    example = example_of(function)
    cells = (f"`{signature(function)}`{sign}", function.definition, function.nulls, str(example))
    return "| " + " | ".join(cell.strip().replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
