"""The standard output: each anomaly or episode as a line of JSON, with its id, when `tocsin run` runs the job.

A line is written to the pipe or file behind it before the sink says that it has it. Whoever reads knows by the id what
comes again after a crash.
"""

from collections.abc import Callable, Sequence

from actors.errors import SinkError
from actors.json_lines import json_line
from actors.sink.messages import Contents, identified_records
from actors.sink.protocol import SinkRecord
from config.service_sinks import StdoutSinkSettings
from config.settings import JobSettings


class StdoutSink:
    """Prints lines by `print_line`, `None` where there is no standard output."""

    def __init__(
        self, settings: StdoutSinkSettings, job: JobSettings, print_line: Callable[[str], None] | None
    ) -> None:
        self._job = job
        self._print_line = print_line
        self._contents = Contents(job, settings.body)

    def write(self, anomalies: Sequence[SinkRecord]) -> None:
        """Print the records, a line for each; they are out when it returns.

        Raises:
            SinkError: there is no standard output, or nobody reads it any more.
        """
        if self._print_line is None:
            raise SinkError("sink stdout: this process has no standard output; take the sink out, or use `tocsin run`")
        for number, record in enumerate(identified_records(self._job, anomalies)):
            try:
                self._print_line(json_line(self._contents.of(record)))
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                text = f"sink stdout: the standard output takes nothing: {reason}; what comes waits"
                raise SinkError(text, taken_count=number) from error

    def close(self) -> None:
        """Leave it open: it is the process's."""
