"""Named parts in job files: metrics and texts use them, and what cannot be one is said at its place."""

import pytest

from config.errors import ConfigError
from config.load import parse_job
from config.specs import engine_spec

JOB = """\
job: web
schema: {time: TIMESTAMP, host: SYMBOL, status: INT}
time: time
key: [host]
let:
  errors: sum(iif(status >= 500, 1, 0))
  total: count(*)
metrics:
  - when: total > 10 and errors \\ total > 0.05
    summary: "{errors} of {total} on {host}"
  - errors > 2 * earlier(errors, 1)
window: {size: 1m}
source: {type: csv, path: in.csv}
sinks: [{type: ndjson, path: out}]
"""


def parse(*changes: tuple[str, str]) -> None:
    text = JOB
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    parse_job(text, "/base", name="job.yaml")


def test_metrics_and_texts_use_parts() -> None:
    job = parse_job(JOB, "/base", name="job.yaml")
    assert engine_spec(job).let == {"errors": "sum(iif(status >= 500, 1, 0))", "total": "count(*)"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sum(iif(status", "sum(iif(statsu", "let (line 5): in the part `errors`: there is no column `statsu`"),
        ("total: count(*)", "total: errors + total", "let (line 5): the part `total` is made of itself"),
        ("total: count(*)", "total: 5", "let.total"),
        ("total: count(*)", "host: count(*)\n  total: host", "let (line 5): the part 'host' in let has the name of"),
        ("total: count(*)", "total: count(*)\n  count: total", "let.count (line 8): 'count' means something else in"),
        ("{errors} of", "{erors} of", "nothing is called 'erors' here; did you mean 'errors'?"),
        ("  - errors > 2", "  - when: errors > 2\n    summary: '{total}'\n  - errors > 2", "'total' is neither part"),
        ("errors > 2 *", "erors > 2 *", "metrics[1] (line 11): there is no column `erors`"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse((old, new))
    assert said in str(caught.value)
