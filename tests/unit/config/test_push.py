"""Settings of sources that others push into."""

import re
from typing import Any

import pytest

from config import ConfigError
from tests.support.jobs import make_trades_job

HTTP = {"type": "http", "listen": "127.0.0.1:8086", "format": "json"}
SYSLOG = {"type": "syslog", "listen": "127.0.0.1:514"}
MQTT = {"type": "mqtt", "url": "mqtt://127.0.0.1", "topics": ["site/+/temp"], "format": "json"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (MQTT | {"url": "http://a"}, "source.url: 'http://a' is no URL of a server"),
        (MQTT | {"url": "mqtt://a/b"}, "topics are named by `topics`"),
        (MQTT | {"url": "mqtt://a:b@c"}, "a job file holds no secrets"),
        (MQTT | {"topics": ["a", "b/#/c"]}, "source.topics[1]: 'b/#/c' is no filter of topics: `#` may only be"),
        (MQTT | {"topics": "a/b+"}, "`+` stands for a whole level"),
        (MQTT | {"topics": ["a/+/c", "+/b/#"]}, "match the same topics, whose messages would come twice"),
        (MQTT | {"topics": ["a", "a/#"]}, "match the same topics"),
        (
            MQTT | {"format": {"type": "json", "columns": {"sym": "$sender"}}},
            "source.format.columns.sym: '$sender' is nothing that this source knows of a record; it knows $topic and",
        ),
        (HTTP | {"listen": "8086"}, "source.listen: '8086' is no address to listen at; write HOST:PORT"),
        (HTTP | {"listen": "a:70000"}, "is no address to listen at"),
        (HTTP | {"security": {"token": "secret"}}, "a job file holds no secrets"),
        (HTTP | {"security": {"certificate": "c"}}, "`certificate` and `key` belong together"),
        (HTTP | {"security": {"ca": "c"}}, "senders show certificates over TLS alone"),
        (HTTP | {"format": {"type": "json", "columns": {"sym": "$topic"}}}, "it knows $path and $received"),
        (SYSLOG | {"protocols": "sctp"}, "source.protocols"),
        (SYSLOG | {"format": "json"}, "no such type, 'json'"),
        (SYSLOG | {"format": {"type": "syslog", "timezone": "Mars"}}, "there is no time zone 'Mars'"),
        (SYSLOG | {"security": {"certificate": "c", "key": "k"}}, "TLS is over TCP alone; say `protocols: tcp`"),
    ],
)
def test_a_mistake_in_a_push_source_is_named(source: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(text)):
        make_trades_job(source)


def test_filters_that_match_no_topic_together_are_fine() -> None:
    for topics in (["a/+", "a", "b/#"], ["a/+/c", "a/b/d"], ["$share/g/a/#", "$share/g/b"]):
        assert make_trades_job(MQTT | {"topics": topics}).source.type == "mqtt"


def test_a_journal_is_on_one_node_unless_sessions_share_the_messages() -> None:
    with pytest.raises(ConfigError, match="a stream table is on one node"):
        make_trades_job(MQTT | {"on": ["a", "b"]})
    with pytest.raises(ConfigError, match="each node would get every message"):
        make_trades_job(MQTT | {"on": ["a", "b"]}, partition_by="split")
    job = make_trades_job(MQTT | {"on": ["a", "b"], "topics": "$share/g/a"}, partition_by="split")
    assert (job.partitions, job.split_nodes) == (2, ("a", "b"))
