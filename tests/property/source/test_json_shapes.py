"""Lines of JSON whose values a regular expression takes out mean what the parser says, to the last bit."""

import json
import struct
from operator import itemgetter
from random import Random
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.model import Schema
from actors.source.decoding import RowRules
from actors.source.format import json_shapes
from actors.source.format.ndjson import NdjsonReader, ndjson_format
from actors.source.format.text import TextFormat
from actors.source.records import DecodedRows, Origin, Texts
from actors.source.transport.lines import LineFraming
from config.formats import NdjsonFormatSettings

SCHEMA = Schema.from_mapping(
    {"time": "TIMESTAMP", "text": "STRING", "whole": "LONG", "small": "INT", "number": "DOUBLE", "truth": "BOOL"}
)
ORIGIN = Origin(name="lines", stem="lines")
FIELDS = {"time": "time", "text": "a.text", "whole": "whole", "small": "small", "number": "number", "truth": "truth"}

NUMBERS = (
    *(
        "0",
        "-0",
        "-0.0",
        "1",
        "-7",
        "12.5",
        "1e3",
        "-1E-7",
        "2.0",
        "1e999",
        "-1e999",
        "1e-400",
        "0.1e1",
        "00",
        "1.",
        ".5",
    ),
    *(
        "123456789012345678",
        "1234567890123456789",
        "9223372036854775807",
        "9223372036854775808",
        "1" * 40,
        "-" + "9" * 19,
    ),
    *(
        "0.1000000000000000055511151231257827",
        "2.2250738585072011e-308",
        "1.7976931348623157e308",
        "179769313486231580e291",
    ),
    *(
        "1767225600000",
        "1767225600000.5",
        "2147483648",
        "-2147483649",
        "NaN",
        "Infinity",
        "-Infinity",
        "+1",
        "0x10",
        "1_0",
    ),
)
TEXTS = (
    *(
        '"a"',
        '""',
        '"\\u0041"',
        '"\\ud800"',
        '"\\""',
        '"\\\\"',
        '"é\U0001f600"',
        '"\t"',
        '"\x7f"',
        '"\\x"',
        '"1"',
        '"true"',
    ),
    *('"2026-01-01T00:00:00Z"', '"2026-13-01"', '"{}"', '"\\/"', '"a,b:c"', '"\u2028"', '"\ufeff"', '"a'),
)
OTHERS = ("null", "true", "false", "[]", "{}", "[1]", '{"text": 1}', "", "nul", "True")

ODD = (*NUMBERS, *TEXTS, *OTHERS)


def make_lines(random: Random) -> list[bytes]:
    """Return lines of one shape, with odd values here and there, and lines that are none."""
    usual = [random.choice(["1", "2.5", "-0", "null", '"t"', "true"]) for _ in range(4)]
    gap = random.choice(["", " ", "\t", "  "])
    more = random.choice(["", ', "more": {"deep": [1, "two", null]}', ', "time": 1767225600000', ', "WHOLE": 5'])
    names = random.sample(["time", "a", "whole", "small", "number", "truth"], 6)
    found = []
    for _ in range(random.randint(1, 3) * json_shapes.LINE_COUNT_MIN):
        values = dict(zip(["whole", "small", "number", "truth"], usual, strict=True))
        values["time"] = str(random.randint(1767225600000, 1767225700000))
        text = random.choice(['"x"', "null"])
        values["a"] = f'{{"text":{gap}{text}}}'
        if random.random() < 0.2:
            odd, name = random.choice(ODD), random.choice(names)
            values[name] = f'{{"text":{odd}}}' if name == "a" and random.random() < 0.9 else odd
        line = "{" + f",{gap}".join(f'"{name}":{gap}{values[name]}' for name in names) + more + "}"
        found.append(spoilt(line, random.randrange(80)))
    return found


def spoilt(line: str, how: int) -> bytes:
    """Return a line in one of a few odd forms, mostly as it is."""
    texts = (line + "\r", line + " ", " " + line, line + line, "\ufeff" + line, line.replace('"whole"', '"Whole"'))
    data = (texts[how] if how < len(texts) else line).encode("utf-8", "surrogatepass")
    others = (b"", b"\xff" + data, data[:-1], data.replace(b"a", b"\n"), data.replace(b"1", b"\x00"))
    return others[how - len(texts)] if len(texts) <= how < len(texts) + len(others) else data


def decoded(form: TextFormat, messages: list[bytes]) -> DecodedRows:
    return form.decoder(ORIGIN)(Texts.of_messages(messages))


def bits(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [tuple(struct.pack("d", one) if isinstance(one, float) else one for one in row) for row in rows]


def parsed(chosen: NdjsonFormatSettings, rules: RowRules) -> TextFormat:
    """Return the format with the parser alone."""
    reader = NdjsonReader(chosen, FIELDS)
    return TextFormat(rules, FIELDS, LineFraming(), lambda _: reader)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.sampled_from(["refuse", "null"]), st.booleans())
def test_shapes_say_what_the_parser_says(seed: int, missing: Any, is_known: bool) -> None:
    messages = make_lines(Random(seed))
    chosen = NdjsonFormatSettings(missing=missing, columns={"text": "a.text"})
    rules = RowRules(schema=SCHEMA, time_column="time", parse_text=False)
    form = ndjson_format(chosen, rules)
    if is_known:
        # A shape that was learned of other lines.
        decoded(form, messages[::-1])
    found, wanted = decoded(form, messages), decoded(parsed(chosen, rules), messages)
    assert found.frame.schema == wanted.frame.schema
    assert bits(found.frame.rows()) == bits(wanted.frame.rows())
    assert found.rows.tolist() == wanted.rows.tolist()
    assert dict(found.faults) == dict(wanted.faults)


def test_lines_of_a_shape_are_not_parsed() -> None:
    find = {"time": itemgetter("time"), "number": itemgetter("number")}
    shapes = json_shapes.JsonShapes(find, {name: SCHEMA[name].type for name in find}, null_when_missing=False)
    texts = [json.dumps({"time": at, "number": at / 2, "other": "x\\y"}) for at in range(100)]
    ((columns, places),), left = shapes.read(pl.Series(texts))
    assert columns["number"].to_list() == [at / 2 for at in range(100)]
    assert places.tolist() == list(range(100))
    assert left == {}
