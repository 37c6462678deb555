"""A log of logins on three hosts, and the job that watches it."""

JOB = """
job: logins
source:
  path: app.log
  format: journal
  follow: true
  templates:
    - {{id: login, name: somebody comes, text: "session opened for <user> from <*>"}}
    - {{id: failure, text: "failed password for <user> after <count> tries"}}
  unmatched: other
key: [{key}]
detectors:
  - {{type: new_value, event: event_id, watch: [user], learn: {{rows: 12}}}}
  - {{type: new_event, event: event_id, learn: {{rows: 20}}}}
  - {{type: stability, event: event_id, watch: "*"}}
metrics: [count(event_id) > 18]
window: {{size: 1m}}
events: {{store: true, type: [logins, "{{event_id}}"]}}
partitions: {partitions}
limits: {{batch_rows_max: {batch}}}
"""


def line(number: int, host: str, message: str) -> str:
    clock = f"{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
    return f"2026-03-01T{clock}+00:00 {host} sshd[{number % 7}]: {message}\n"


def generated(count: int) -> str:
    """Return a log of three hosts, the same every time: users that repeat, a failure now and then, one odd line."""
    lines = []
    for number in range(count):
        host = f"web{number % 3}"
        if number == 150:
            message = "segfault at 0"
        elif number % 17 == 16:
            message = f"failed password for root after {number % 5} tries"
        else:
            user = "mallory" if number in (160, 161, 200, 202) else ("ann", "bob", "cid")[number * number % 3]
            message = f"session opened for {user} from 10.0.0.{number % 4}"
        lines.append(line(number, host, message))
    return "".join(lines)
