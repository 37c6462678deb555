"""Which anomalies and episodes the `where` of a sink means."""

from actors.sink.lines import plain_key
from actors.sink.protocol import SinkRecord
from config.form import rules_of
from config.settings import JobSettings
from config.sinks import SinkWhere


class Chooser:
    """Chooses among the anomalies and episodes of a job."""

    def __init__(self, job: JobSettings, where: SinkWhere) -> None:
        self._job = job
        self._where = where
        self._rules = rules_of(job)

    def takes(self, one: SinkRecord) -> bool:
        """Return whether an anomaly or episode is one of those that are meant."""
        rule = self._rules[one.type] if one.type < len(self._rules) else None
        key = plain_key(self._job, one) if self._where.key else {}
        severity, name = (None, one.metric) if rule is None else (rule.severity, rule.id or one.metric)
        return self._where.takes(severity, name, key)
