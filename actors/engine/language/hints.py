"""What people meant who write metrics as they write SQL, Python or other queries: the way out in messages."""

import re

from actors.nearness import nearest

_NAMES = {
    "len length char_length": "Use `strlen`, the number of characters.",
    "median p50": "Use `med`.",
    "average": "Use `avg`.",
    "stddev stdev stddev_samp sd": "Use `std`; `stdp` has the divisor n.",
    "variance var_samp": "Use `var`; `varp` has the divisor n.",
    "correlation": "Use `corr`.",
    "distinct count_distinct countdistinct uniq approx_count_distinct": "Use `nunique`.",
    "lag shift": "Use `prev(x)`, or `move(x, steps)`.",
    "diff delta derivative": "Use `deltas(x)`, the difference from the row before; `rate(x, time)` of a counter.",
    "pct_change": "Use `percentChange`.",
    "if case when": "Use `iif(condition, x, y)`.",
    "coalesce ifnull nvl fillna": "Use `nullFill(x, filling)`.",
    "isnan is_null isna": "Use `isNull`; NaN is NULL.",
    "notnull isnotnull is_not_null": "Use `isValid`.",
    "instr strpos position includes has": "Use `contains(text, part)`.",
    "substring mid left right slice": "Use `substr(text, 0, 3)`.",
    "regexp regex regexp_like regexp_matches rlike match": "Use `matches(text, 'a+')`.",
    "split_part": "Use `split(text, 'a', 0)`.",
    "power": "Use `pow`.",
    "ln": "Use `log`, the natural logarithm.",
    "sign sgn": "Use `signum`.",
    "trunc truncate": "Use `floor` or `ceil`.",
    "cast float number tonumber parse": "Use `double`, or `long`.",
    "str string tostring to_char varchar": "Use `text`.",
    "z_score": "Use `zscore(x, 50)`, or `(x - avg(x)) / std(x)`.",
    "rolling_mean moving_avg sma movavg": "Use `mavg(x, window)`, or `tmavg(time, x, 5m)`.",
    "ewma": "Use `ewmMean` or `ema`.",
    "dayofweek day_of_week dow isodow": "Use `weekday`, 1 for Monday.",
    "day to_date todate year month": "Use `date`, a text such as '2026-12-24'; parts of it by `substr`.",
    "minute minuteofday": "Use `minute_of_day`; the minute of the hour is `minute_of_day(time) % 60`.",
    "now today current_timestamp": "There is no clock here, only the times of rows.",
}
_WAYS = {name: way for names, way in _NAMES.items() for name in names.split()}

_SIGNS = (
    # What stands before the place, what begins there, and the way out.
    (r"", r"=>", "Use `>=` to compare."),
    (r"", r"=<", "Use `<=` to compare."),
    (r"", r"=", "Use `==` to compare."),
    (r"", r"&", "Use `and`."),
    (r"", r"\|", "Use `or`."),
    (r"\*\s*", r"\*", "Use `pow(x, y)`, or `square(x)`."),
    (r"", r"\^", "Use `pow(x, y)`, or `square(x)`."),
    (r"/\s*", r"/", "Between whole numbers `/` rounds down; else use `floor(x / y)`."),
    (r"", r"is\b", "Write `isNull(x)`, or `isValid(x)`."),
    (r"", r"between\b", "Write `between(x, 1, 5)`."),
    (r"", r"i?like\b", "Write `like(x, 'a%')`."),
    (r"\bin\s*\([^()]*", r",", "A list stands in square brackets: `x in [1, 2]`."),
    (r"[0-9]", r",[0-9]", "Write decimals with a point, such as 1.5."),
    (r"[0-9]", r"_[0-9]", "Write the digits without a sign between them."),
    (r"\(\s*", r"\*", "`count(*)` counts the rows; other functions want a column."),
    (r"[A-Za-z_]\w*\s*", r"\.\s*\w+\s*\(", "A function stands first: `startsWith(x, 'a')`."),
    (r"[A-Za-z_]\w*\s*", r"\.", "Names have no points; a source gives a field another name by `columns`."),
    (r"[0-9]", r"\.[0-9]", "A time is a number in the unit of its column."),
    (r"(['\"])", r"['\"]", "Write a quote inside a text as \\', or take the other kind of quotes around it."),
)


def way_out_of_sign(text: str, position: int) -> str:
    """Return what was meant by what stands at a place where it cannot stand."""
    before, after = text[:position], text[position:]
    for left, right, way_out in _SIGNS:
        if re.match(right, after, re.IGNORECASE) and re.search(f"(?:{left})$", before, re.IGNORECASE):
            return way_out
    return "See docs/metrics.md for the expression language."


def way_out_of_name(name: str) -> str | None:
    """Return what there is in place of a function of another language, `None` where nothing is known."""
    found = _WAYS.get(name.lower())
    percent = re.fullmatch(r"p(?:ercentile_?)?([0-9]{1,2})", name.lower())
    return f"Use `percentile(x, {int(percent[1])})`." if found is None and percent else found


def way_out_of_slip(name: str) -> str | None:
    """Return the same for a name that is near to such a function's."""
    meant = nearest(name, _WAYS)
    return None if meant is None else _WAYS[meant]
