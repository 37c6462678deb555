"""Expressions to test engines with, drawn by type: most are valid, and their sums are exact.

Literals and doubles are quarters of integers, so that sums and products of a few of them are exact in any order. What
cannot be exact (quotients, deviations) is compared with odd decimals, which such values hardly ever come close to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.choices import Choices, happens, pick
from tests.support.naive.text import Token, roles_of, tokens_of

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=", "<>")
NUMERIC = ("INT", "LONG", "DOUBLE")
INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")
WHOLE_AGGREGATES = ("sum", "min", "max", "first", "last", "firstNot", "lastNot", "count", "size", "nunique", "mode")
REAL_AGGREGATES = (
    *("avg", "mean", "std", "stdp", "var", "varp", "med", "sum2", "skew", "kurtosis", "mad", "sem", "rms"),
    *("sum3", "imax", "imin", "prod"),
)
PAIR_AGGREGATES = ("wavg", "wsum", "corr", "covar", "covarp", "beta")
MOVING = ("msum", "mavg", "mmin", "mmax", "mstd", "mcount", "mmed", "mvar", "mstdp", "mfirst", "mlast")
CUMULATIVE = ("cumsum", "cumavg", "cummax", "cummin", "cumcount", "cumstd")
TIME_MOVING = ("tmsum", "tmavg", "tmcount", "tmmin", "tmmax", "tmstd", "tmfirst", "tmlast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What may stand at a place of an expression."""

    columns: bool = True
    aggregates: bool = False
    ordered: bool = True


ROW = Scope()
WINDOW = Scope(columns=False, aggregates=True, ordered=False)
MIXED = Scope(aggregates=True)


class ExpressionMaker:
    """Draws expressions over columns of known types; each method returns text."""

    def __init__(self, choices: Choices, schema: dict[str, str], time_column: str) -> None:
        self._choices = choices
        self._time = time_column
        self._named = {
            kind: [name for name, its in schema.items() if its in kinds]
            for kind, kinds in {"number": NUMERIC, "bool": ("BOOL",), "text": ("STRING", "SYMBOL")}.items()
        }

    def pick(self, choices: Sequence[Any]) -> Any:
        return pick(self._choices, choices)

    def chance(self, percent: int) -> bool:
        return happens(self._choices, percent)

    def metric(self) -> str:
        """Return a Boolean expression of any of the three kinds."""
        return self.boolean(self.pick((1, 2, 2, 3)), self.pick((ROW, ROW, WINDOW, MIXED)))

    # Boolean expressions

    def boolean(self, depth: int, scope: Scope) -> str:
        choices = [self._comparison] * 6 + [self._between, self._membership, self._null_test]
        if depth > 1:
            choices += [self._joined] * 3 + [self._negated, self._chosen_boolean, self._chain, self._logic_call]
        if self._named["bool"]:
            choices += [self._flag] * 2
        if self._named["text"]:
            choices += [self._text_test]
        if scope.aggregates:
            choices += [self._any_or_all]
        return str(self.pick(choices)(depth, scope))

    def _bracketed(self, text: str) -> str:
        return f"({text})"

    def _comparison(self, depth: int, scope: Scope) -> str:
        left, right = self.number(depth, scope), self.number(depth - 1, scope)
        if self.chance(50):
            right = self.threshold()
        if self.chance(10):
            return f"{self.pick(('lt', 'le', 'gt', 'ge', 'eq', 'ne'))}({left}, {right})"
        return f"{left} {self.pick(COMPARISONS)} {right}"

    def _chain(self, depth: int, scope: Scope) -> str:
        return (
            f"{self.threshold()} {self.pick(('<', '<='))} {self.number(depth - 1, scope)} "
            f"{self.pick(('<', '<=', '!='))} {self.number(depth - 1, scope)}"
        )

    def _between(self, depth: int, scope: Scope) -> str:
        low, high = self.threshold(), self.threshold()
        return f"between({self.number(depth - 1, scope)}, {low}:{high})"

    def _membership(self, depth: int, scope: Scope) -> str:
        items = [self.literal() for _ in range(self.pick((1, 2, 3)))] + (["NULL"] if self.chance(20) else [])
        value, shown = self.number(depth - 1, scope), ", ".join(items)
        return f"in({value}, [{shown}])" if self.chance(50) else f"{value} in [{shown}]"

    def _null_test(self, depth: int, scope: Scope) -> str:
        return f"{self.pick(('isNull', 'isValid', 'isnull'))}({self.number(depth, scope)})"

    def _joined(self, depth: int, scope: Scope) -> str:
        left, right = self.boolean(depth - 1, scope), self.boolean(depth - 1, scope)
        if self.chance(40):
            left = self._bracketed(left)
        if self.chance(40):
            right = self._bracketed(right)
        return f"{left} {self.pick(('and', 'or', '&&', '||'))} {right}"

    def _negated(self, depth: int, scope: Scope) -> str:
        operand = self.boolean(depth - 1, scope)
        return self.pick((f"!({operand})", f"not({operand})", f"not {operand}"))

    def _logic_call(self, depth: int, scope: Scope) -> str:
        left, right = self.boolean(depth - 1, scope), self.boolean(depth - 1, scope)
        return f"{self.pick(('and', 'or', 'xor'))}({left}, {right})"

    def _chosen_boolean(self, depth: int, scope: Scope) -> str:
        parts = ", ".join(self.boolean(depth - 1, scope) for _ in range(3))
        return f"iif({parts})"

    def _flag(self, depth: int, scope: Scope) -> str:
        column = self.pick(self._named["bool"])
        if not scope.columns:
            return f"{self.pick(('first', 'last', 'max', 'min'))}({column})"
        shapes = [column, f"!{column}", f"nullFill({column}, true)"]
        if scope.ordered:
            shapes += [f"prev({column})", f"ffill({column})", f"{column} != prev({column})"]
        return str(self.pick(shapes))

    def _text_test(self, depth: int, scope: Scope) -> str:
        column = self.pick(self._named["text"])
        if not scope.columns:
            call = self.pick(("first", "last"))
            return f'{call}({column}) {self.pick(("==", "!=", "<"))} "A"'
        shapes = [f'{column} == "A"', f"{column} != `b", f"{column} < 'b'", f'startsWith({column}, "U")']
        shapes += [f'{column} in ["A", "US x"]', f"isNull({column})", f'like({column}, "%x")', f"strlen({column}) > 1"]
        shapes += [f'upper({column}) == "B"', f'endsWith({column}, "b")', f'nullFill({column}, "A") == "A"']
        if scope.ordered:
            shapes += [f"{column} != prev({column})"]
        return str(self.pick(shapes))

    def _any_or_all(self, depth: int, scope: Scope) -> str:
        return f"{self.pick(('any', 'all'))}({self.boolean(depth - 1, ROW)})"

    # Numbers

    def literal(self) -> str:
        if self.chance(60):
            return str(self._choices.integer(-5, 12))
        return str(self._choices.integer(-20, 40) / 4)

    def threshold(self) -> str:
        return self.literal() if self.chance(60) else self.pick(("0.3719", "1.4173", "2.6183", "-0.7713", "9.1919"))

    def number(self, depth: int, scope: Scope) -> str:
        choices: list[Callable[[int, Scope], str]] = []
        if depth > 0:
            choices += [self._arithmetic] * 2 + [self._scalar]
            if scope.aggregates:
                choices += [self._aggregate] * 8
            if scope.ordered:
                choices += [self._ordered] * 4
        if scope.columns:
            choices += [self._column] * 3
        if not scope.columns:
            choices += [self._aggregate] * 4
        return str(self.pick(choices)(depth, scope)) if choices else self.literal()

    def _column(self, depth: int, scope: Scope) -> str:
        name = str(self.pick(self._named["number"]))
        return self.pick((name, name, name, name.upper(), name.lower()))

    def _arithmetic(self, depth: int, scope: Scope) -> str:
        left = self.number(depth - 1, scope)
        right = self.literal() if self.chance(50) else self.number(depth - 1, scope)
        if self.chance(40):
            left = self._bracketed(left)
        if self.chance(40) or right.startswith("-"):
            right = self._bracketed(right)
        return f"{left} {self.pick(('+', '-', '*', '/', '%', chr(92), '+', '-'))} {right}"

    def _scalar(self, depth: int, scope: Scope) -> str:
        value = self.number(depth - 1, scope)
        other = self.number(depth - 1, scope)
        shapes = [
            *(f"abs({value})", f"-({value})", f"sqrt({value})", f"signum({value})", f"round({value}, 2)"),
            *(f"floor({value})", f"ceil({value})", f"round({value})", f"square({value})", f"double({value})"),
            *(f"nullFill({value}, {self.literal()})", f"nullFill({value}, {other})", f"log({value})", f"exp({value})"),
            *(f"max({value}, {other})", f"min({value}, {other})", f"MAX({value}, {self.literal()})"),
            f"iif({self.boolean(0, scope)}, {value}, {other})",
            f"iif({self.boolean(0, scope)}, {value}, {self.literal()})",
        ]
        return str(self.pick(shapes))

    def series(self, depth: int) -> str:
        """Return an argument of an aggregate or order-sensitive call: it has a column."""
        if depth <= 0 or self.chance(60):
            return self._column(depth, ROW)
        if self.chance(20):
            return self._comparison(depth - 1, ROW)
        if self.chance(20):
            return f"({self._comparison(depth - 1, ROW)}) + {self._column(depth, ROW)}"
        return f"{self._column(depth, ROW)} {self.pick(('+', '-', '*'))} {self.number(depth - 1, ROW)}"

    def _aggregate(self, depth: int, scope: Scope) -> str:
        x, y = self.series(depth - 1), self.series(0)
        how = self.pick(INTERPOLATIONS)
        shapes = [
            *(f"{self.pick(WHOLE_AGGREGATES)}({x})" for _ in range(6)),
            *(f"{self.pick(REAL_AGGREGATES)}({x})" for _ in range(3)),
            *(f"{self.pick(PAIR_AGGREGATES)}({x}, {y})" for _ in range(2)),
            f"percentile({x}, {self.pick((0, 10, 25, 50, 75, 90, 95, 100, 12.5))})",
            f'percentile({x}, {self.pick((0, 25, 50, 60, 75, 100))}, interpolation="{how}")',
            f"quantile({x}, {self.pick((0, 0.25, 0.5, 0.9, 1))})",
            f"nunique({x}, true)",
            f"firstNot({x}, {self._choices.integer(-3, 3)})",
            f"mad({x}, true)",
            f"skew({x}, false)",
            f"kurtosis({x}, false)",
        ]
        return str(self.pick(shapes))

    def _ordered(self, depth: int, scope: Scope) -> str:
        x, y, window = self.series(depth - 1), self.series(0), self.pick((2, 3, 5))
        minimum = self.pick((1, 2))
        times = f"{self._time}, {x}, {self.pick((1, 2, 3, 10, 60))}"
        shapes = [
            *(f"prev({x})", f"move({x}, {self.pick((1, 2, 4))})", f"ffill({x})", f"ffill({x}, {self.pick((1, 2))})"),
            *(f"deltas({x})", f"deltas({x}, 2)", f"ratios({x})", f"percentChange({x})", f"percentChange({x}, 2)"),
            *(f"{self.pick(MOVING)}({x}, {window})" for _ in range(4)),
            f"{self.pick(MOVING[:9])}({x}, {window}, {minimum})",
            f"{self.pick(MOVING[:9])}({x}, {window}, minPeriods={minimum})",
            *(f"{self.pick(CUMULATIVE)}({x})" for _ in range(3)),
            *(f"{self.pick(TIME_MOVING)}({times})" for _ in range(3)),
            f"mpercentile({x}, {self.pick((25, 50, 75))}, {window}, '{self.pick(INTERPOLATIONS)}')",
            f"{self.pick(('mcorr', 'mwavg', 'mbeta', 'mwsum'))}({x}, {y}, {window})",
            f"mrank({x}, {self.pick(('true', 'false'))}, {window})",
            f"ema(nullFill({x}, 0), {window})",
            f"ewmMean({x}, com={self.pick((1, 0.5))})",
            f"cumwsum({x}, {y})",
            f"deltas({self._time})",
            f"({self._time} - prev({self._time}))",
        ]
        return str(self.pick(shapes))


def respaced(choices: Choices, expression: str) -> str:
    """Return an expression with other spaces between its words: none where none is needed, or one, or two."""
    tokens = tokens_of(expression)
    roles = roles_of(tokens)
    text = tokens[0].text
    for i in range(1, len(tokens)):
        needed = _run_together(tokens[i - 1], tokens[i]) or roles[i - 1] == "prefix word"
        needed = needed or (roles[i - 1] == "binary" and tokens[i - 1].is_word)
        called_word = roles[i - 1] == "operand" and tokens[i - 1].is_word
        spaces = 0 if called_word else choices.integer(0, 2)
        text += " " * max(spaces, int(needed)) + tokens[i].text
    return text + " " * choices.integer(0, 1)


def _run_together(left: Token, right: Token) -> bool:
    return left.kind != "operator" and right.kind != "operator"
