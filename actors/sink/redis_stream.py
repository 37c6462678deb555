"""A stream of Redis: each anomaly or episode is an entry with its id, and is there once.

A hash beside the stream keeps the last id of each job, sink, partition and split that the stream has. One script looks
there, adds what is newer, and notes it; nothing comes between, so what comes again after a crash is known.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from actors.errors import SinkError
from actors.sink.messages import Contents, identified_records
from actors.sink.protocol import SinkRecord
from config.broker_sinks import RedisSinkSettings
from config.settings import JobSettings

if TYPE_CHECKING:
    import redis

ENTRY_COUNT_MAX = 100
"""Entries of one script, which holds up everybody else."""

_SCRIPT = """
for i = 3, #ARGV, 4 do
  local known = redis.call('HGET', KEYS[2], ARGV[i])
  if not known or known < ARGV[i + 1] then
    if ARGV[2] == '' then
      redis.call('XADD', KEYS[1], '*', 'id', ARGV[i + 2], ARGV[1], ARGV[i + 3])
    else
      redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'id', ARGV[i + 2], ARGV[1], ARGV[i + 3])
    end
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
  end
end
"""


class RedisSink:
    """Adds entries by a client of its own."""

    def __init__(self, settings: RedisSinkSettings, job: JobSettings, client: "redis.Redis") -> None:
        self._settings = settings
        self._job = job
        self._client = client
        self._contents = Contents(job, settings.body)

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Add the records that the stream has not had yet, as durably as the server keeps anything.

        Raises:
            SinkError: the server does not answer or refuses them; `taken_count` of them it has.
        """
        from redis.exceptions import RedisError

        records = identified_records(self._job, anomalies)
        for start in range(0, len(records), ENTRY_COUNT_MAX):
            part = slice(start, start + ENTRY_COUNT_MAX)
            try:
                self._add(anomalies[part], records[part])
            except (RedisError, OSError) as error:
                raise SinkError(
                    f"sink {self._settings.identity}: Redis does not take {records[start]['id']} and what follows: "
                    f"{error}. It is tried again; what comes waits",
                    taken_count=start,
                ) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _add(self, anomalies: Sequence[SinkRecord], records: Sequence[Mapping[str, Any]]) -> None:
        stream = self._settings.stream
        # Both are on one server of a cluster: what is in braces decides.
        marks = f"{stream}:marks" if "{" in stream else f"{{{stream}}}:marks"
        arguments: list[Any] = [self._settings.field, self._settings.maxlen or ""]
        for one, record in zip(anomalies, records, strict=True):
            who = f"{self._job.name}/{one.partition}/{one.id.split} {self._settings.name or ''}".rstrip()
            # As text, in the order of the numbers.
            place = f"{one.id.offset:020}-{one.id.ordinal:010}"
            arguments += [who, place, record["id"], self._contents.json_of(record)]
        self._client.eval(_SCRIPT, 2, stream, marks, *arguments)
