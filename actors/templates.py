"""Templates: texts with places for values, `{sym}: {avg(qty):.1f} for {duration}`. One language for all texts.

A place is a name in braces, perhaps with a colon and a format of Python's after it; `{{` and `}}` stand for braces. A
name is compared without its blanks, so `{avg( qty )}` means `{avg(qty)}`. Rendering never fails: an alarm must not be
lost to a text about it. What has no value is a dash, and a value that its format does not fit is shown without it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NOTHING = "-"
"""Shown for what has no value."""

SIZE_MAX = 4096
"""Letters of a template."""

_NUMBER = re.compile(r"\d{4,}")


class TemplateError(Exception):
    """A text is no template; the message names the place and the way out."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place for a value."""

    name: str
    """Without blanks."""

    spec: str
    """Format of the value; empty: as it is."""


Values = Callable[[str], Any]
"""Gives the value of a name, `None` where there is none."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text that has been read."""

    parts: tuple[str | Place, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """The places for values, in order."""
        return tuple(part for part in self.parts if isinstance(part, Place))

    def render(self, values: Values) -> str:
        """Return the text with its values."""
        return "".join(part if isinstance(part, str) else _shown(values(part.name), part.spec) for part in self.parts)

    def value(self, values: Values) -> Any:
        """Return the text with its values or, where it is one place without a format, that value itself."""
        if len(self.parts) == 1 and isinstance(place := self.parts[0], Place) and not place.spec:
            return values(place.name)
        return self.render(values)


def bare(name: str) -> str:
    """Return a name as names are compared."""
    return "".join(name.split())


def parse_template(text: str) -> Template:
    """Return a template.

    Raises:
        TemplateError: a brace has no other, a place is empty, or its format is none.
    """
    if len(text) > SIZE_MAX:
        raise TemplateError(f"a text of {len(text)} letters; write at most {SIZE_MAX}")
    parts: list[str | Place] = []
    literal, at = "", 0
    while at < len(text):
        letter = text[at]
        if text[at : at + 2] in ("{{", "}}"):
            literal, at = literal + letter, at + 2
        elif letter == "}":
            raise TemplateError(f"a closing brace at letter {at + 1} has no opening one; write }}}} for a brace")
        elif letter == "{":
            end = text.find("}", at)
            if end < 0 or "{" in text[at + 1 : end]:
                raise TemplateError(f"the brace at letter {at + 1} is not closed; write {{{{ for a brace")
            if literal:
                parts.append(literal)
            parts.append(_place(text[at + 1 : end]))
            literal, at = "", end + 1
        else:
            literal, at = literal + letter, at + 1
    return Template(tuple([*parts, literal] if literal else parts))


def _place(inner: str) -> Place:
    name, spec = inner, ""
    cut = inner.rfind(":")
    # A colon within quotes belongs to a name, as that of a text in a metric.
    if cut >= 0 and inner.count('"', 0, cut) % 2 == 0 and inner.count("'", 0, cut) % 2 == 0:
        name, spec = inner[:cut], inner[cut + 1 :]
    if not bare(name):
        raise TemplateError("a place {} is empty; name what it is for, or write {{}} for braces")
    # The letter of a number, `c`, may be half of one, which no output can hold.
    is_letter = spec.endswith("c")
    if spec and (is_letter or _NUMBER.search(spec) or not any(_fits(value, spec) for value in (1.5, 1, "a"))):
        raise TemplateError(f"{spec!r} in {{{inner}}} is no format; write one of Python's, such as .1f or >8")
    return Place(bare(name), spec)


def _fits(value: Any, spec: str) -> bool:
    try:
        format(value, spec)
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _shown(value: Any, spec: str) -> str:
    if value is None:
        return NOTHING
    return format(value, spec) if spec and _fits(value, spec) else str(value)
