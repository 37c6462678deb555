"""The log of a process: lines of time, level, module, a constant phrase, and the values that belong to it."""

import logging
from typing import Final

_OWN_NAMES: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
"""What every record has; whatever else one has was given as `extra`, or begins with `_` and is added by Ray."""


class ValuesFormatter(logging.Formatter):
    """Adds the values of a record to its phrase, as `name=value`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the name is logging's
        """Return the line of a record, without its traceback."""
        values = [
            f"{name}={value!r}" for name, value in record.__dict__.items() if name not in _OWN_NAMES and name[0] != "_"
        ]
        return " ".join([super().formatMessage(record), *values])


def begin_log() -> None:
    """Have this process log to its standard error, from INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(ValuesFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
