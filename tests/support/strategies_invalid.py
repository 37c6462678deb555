"""Metrics that every engine must refuse, each with one fault, and the code of the fault."""

from tests.support.choices import Choices, pick

REFUSED = {
    "parse": (
        *("qty >", "qty > > 3", "(qty > 3", "qty > 3)", "qty = 3", "sum(qty > 3", "qty > 3 qty", "qty ? 3", "", "   "),
        *(
            "qty > 3 and",
            "and qty > 3",
            "in qty",
            "qty in",
            "qty in [1, ]",
            "max(qty, ) > 3",
            "max(, qty) > 3",
            "qty @ 3",
        ),
        *('word == "A', "qty > 3;", "percentile(qty, percent=) > 3", "percentile(qty, ,) > 3"),
    ),
    "unknown_function": (
        "frobnicate(qty) > 3",
        "sum(frobnicate(qty)) > 3",
        "qty > 3 and f()",
        "tmfoo(time, qty, 3) > 1",
    ),
    "unknown_column": ("nothing > 3", "sum(nothing) > 3", "qty > 3 or prev(nothing) > 1", "isNull(nothing)"),
    "forbidden_function": ("next(qty) > 3", "NEXT(qty) > 3", "sum(next(qty)) > 3", "linearTimeTrend(qty, 3) > 1"),
    "aggregate_in_order_sensitive": (
        *("prev(sum(qty)) > 1", "msum(avg(qty), 3) > 1", "prev(abs(sum(qty)) + 1) > 1", "sum(qty) > prev(sum(qty))"),
        *("cumsum(qty > avg(qty)) > 1", "ffill(iif(max(qty) > 3, qty, 1)) > 1"),
    ),
    "nested_aggregate": (
        "sum(qty - avg(qty)) > 0",
        "max(min(qty)) > 1",
        "avg(abs(sum(qty))) > 1",
        "std(max(qty) - 1) > 1",
    ),
    "not_boolean": (
        "qty",
        "sum(qty)",
        "qty + 1",
        "prev(qty)",
        "iif(flag, qty, 1)",
        "max(qty)",
        "nullFill(qty, 0)",
        "1",
        "word",
    ),
    "bad_argument": (
        *("msum(qty, 1) > 3", "msum(qty, qty) > 3", "msum(qty, 0) > 3", "msum(qty, -3) > 3", "msum(qty, 2.5) > 3"),
        *("percentile(qty, 101) > 3", "percentile(qty, -1) > 3", "percentile(qty, qty) > 3", "quantile(qty, 1.5) > 3"),
        *("move(qty, -1) > 3", "deltas(qty, -1) > 3", "percentChange(qty, -2) > 3", "msum(qty) > 3", "sum() > 3"),
        *("sum(qty, qty, qty) > 3", "prev(1) > 0", "cumsum(2) > 0", "iif(flag, 1) > 0", "prev(qty, 1, 2) > 1"),
        *('percentile(qty, 50, "sideways") > 3', "percentile(qty, 50, nonsense=3) > 3", "tmsum(time, qty, 0) > 3"),
        *(
            "msum(qty, 102401) > 3",
            "wavg(qty) > 1",
            "max(qty:3) > 1",
            "percentile(qty:50) > 1",
            "between(qty, 1)",
            "between(qty) and flag",
        ),
    ),
    "bad_type": (
        *("word > 3", "qty == `A", "word + 1 > 3", "sum(word) > 3", "abs(word) > 3", "iif(flag, qty, word) > 3"),
        *(
            "strlen(qty) > 1",
            "msum(word, 3) > 1",
            "word and flag",
            "avg(word) > 1",
            "-word > 3",
            "qty in [`A]",
        ),
    ),
}
"""Metrics over the columns time, qty, flag and word, by the code of their fault."""

PUBLISHED_CODES = frozenset(REFUSED) - {"unknown_column", "bad_type"}
"""Codes that are laid down; the others may be called something else."""

SCHEMA = {"time": "TIMESTAMP", "qty": "INT", "flag": "BOOL", "word": "STRING"}

SCRAPS = ("(", ")", "[", "]", ",", "+", "-", "*", "/", "%", "<", "==", "=", "and", "or", "not", "in", "!", "&&", ":")
MORE_SCRAPS = (
    "qty",
    "sum(",
    "prev(",
    "1",
    "2.5",
    '"',
    "'",
    "`",
    "A",
    "\\",
    "NULL",
    "true",
    ".",
    "5s",
    "\x00",
    "é",
    "1e999",
)


def mutated(choices: Choices, expression: str) -> str:
    """Return an expression with a few pieces left out, doubled, or put in from elsewhere."""
    for _ in range(choices.integer(1, 3)):
        start = choices.integer(0, len(expression))
        end = min(len(expression), start + choices.integer(0, 4))
        piece = expression[start:end]
        put_in = pick(choices, ("", piece + piece, pick(choices, SCRAPS), pick(choices, MORE_SCRAPS)))
        expression = expression[:start] + put_in + expression[end:]
    return expression
