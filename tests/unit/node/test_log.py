"""The log of a process says the values of a record, not its phrase alone."""

import logging
import sys

from cluster.node.log import ValuesFormatter


def line(**values: object) -> str:
    record = logging.LogRecord("cluster", logging.WARNING, "", 0, "a node is lost", (), None)
    record.__dict__.update(values)
    return ValuesFormatter("%(levelname)s %(message)s").format(record)


def test_values_stand_after_the_phrase() -> None:
    assert line(job="trades", epoch=4, _ray_timestamp_ns=7) == "WARNING a node is lost job='trades' epoch=4"


def test_a_phrase_alone_stays_as_it_is() -> None:
    assert line() == "WARNING a node is lost"


def test_values_of_many_lines_stay_on_one() -> None:
    assert line(reason="a\nb") == "WARNING a node is lost reason='a\\nb'"


def test_a_traceback_follows_on_lines_of_its_own() -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        said = line(what="head", exc_info=sys.exc_info()).splitlines()
    assert said[0] == "WARNING a node is lost what='head'"
    assert said[-1] == "ValueError: odd"
