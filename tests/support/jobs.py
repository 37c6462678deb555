"""Settings of small jobs, for tests of what is built from them."""

from typing import Any

from config import JobSettings, make_job

TRADES_SCHEMA = {"time": "TIMESTAMP", "sym": "SYMBOL", "qty": "INT"}


def make_trades_job(source: dict[str, Any], **settings: Any) -> JobSettings:
    """Return a job over trades with a source, at times from 1970 on; further settings replace the plain ones."""
    plain = {"job": "trades", "schema": TRADES_SCHEMA, "time": "time", "key": ["sym"], "metrics": ["qty < 4"]}
    limits = {"time_min": "1900-01-01"}
    return make_job(plain | {"source": source, "limits": limits} | settings)
