"""Kill leaders and hosts of a real cluster at random moments, and compare what a receiver of notifications was told.

    python scripts/notification_drill.py [--kills 20] [--episodes 400] [--group] [--seed 1]

A job of four partitions on two hosts follows a file that the drill appends to: hosts become hot and cool again, over
and over. A webhook on loopback takes its notifications and knows ids (`Idempotency-Key`); now and then it is slow, or
refuses. Meanwhile the leading node, with its leader's process, or a host of the job is killed by SIGKILL, as soon as
the cluster has recovered from the kill before. In the end each transition has to have been told exactly once by
notifications with different ids. Printed: transitions missing and doubled, and how many notifications came again under
their id (who does not know ids has those twice).
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cluster.client.client import Client
from cluster.errors import ClusterError
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
from cluster.local.home import Home
from cluster.local.speed import has_passed
from config.load import parse_job

RECOVERY_S = 180.0
"""Seconds after which a cluster that was hit will not recover any more, on a machine of usual speed."""

HOST_COUNT = 40
"""Keys of the rows."""

JOB = """
job: drill
schema: {{time: TIMESTAMP, host: SYMBOL, load: DOUBLE}}
time: time
key: [host]
metrics:
  - {{when: load > 80, for: 0s, id: hot, severity: critical}}
source: {{path: {path}, follow: true}}
partitions: 4
hosts: 2
notifications: {policy}
sinks:
  - {{type: webhook, url: "{url}", only: episodes}}
"""


@dataclass
class Receiver:
    """What came, by the ids of notifications."""

    url: str
    random: random.Random
    kept: dict[str, Any] = field(default_factory=dict)
    repeated_count: int = 0
    different_count: int = 0
    """Notifications that came again with another content."""

    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str, body: bytes) -> int:
        """Take a request and return the status of its answer."""
        with self.lock:
            chance = self.random.random()
            if chance < 0.02:
                return 503
            data = json.loads(body)
            if name in self.kept:
                self.repeated_count += 1
                self.different_count += items_of(self.kept[name]) != items_of(data)
            self.kept.setdefault(name, data)
        if chance > 0.98:
            time.sleep(0.3)
        return 204

    def told(self) -> Counter[tuple[str, str, str]]:
        """Return how often each transition was told: host, start of the episode, state."""
        with self.lock:
            return Counter(one for data in self.kept.values() for one in items_of(data))


def items_of(data: Any) -> list[tuple[str, str, str]]:
    """Return the transitions that a notification tells of."""
    items = data["items"] if data["kind"] == "group" else [data]
    return [(one["key"]["host"], one["detail"]["episode"]["start"], one["state"]) for one in items]


@contextmanager
def receiving(seed: int) -> Iterator[Receiver]:
    """Run a receiver while the block does."""
    receiver = Receiver("", random.Random(seed))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # The sender may have been killed meanwhile.
            with suppress(OSError):
                self.send_response(receiver.take(self.headers["Idempotency-Key"], body))
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of senders that were killed."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


class Load:
    """Appends rows to a file: hosts that become hot and cool again, each row a second later than the one before."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._random = random.Random(seed)
        self._now_s = 1_767_225_600
        self._hot: dict[str, str] = {}
        self.expected: Counter[tuple[str, str, str]] = Counter()
        path.write_text("time,host,load\n")

    def step(self) -> None:
        """Append a row, and note what has to be told of it."""
        host = f"host-{self._random.randrange(HOST_COUNT):02}"
        self._now_s += 1
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._now_s)) + ".000Z"
        is_hot = host in self._hot
        with self._path.open("a") as file:
            file.write(f"{text[:-1]},{host},{10 if is_hot else 90}\n")
        if is_hot:
            self.expected[host, self._hot.pop(host), "resolved"] += 1
        else:
            self._hot[host] = text
            self.expected[host, text, "firing"] += 1


class Drill:
    """Kills, one process after the other."""

    def __init__(self, client: Client, seed: int) -> None:
        self._client = client
        self._random = random.Random(seed)

    def kill(self) -> str:
        """Kill the leader or a host, wait until rows are taken again, and say what was killed."""
        self._wait_until_well()
        state = self._client.state()
        if self._random.random() < 0.5:
            found = [one for _, one in self._client.statuses() if one is not None and one.led_epoch is not None]
            if not found:
                return ""
            for pid in (found[0].child.pid, found[0].pid):
                os.kill(pid, signal.SIGKILL)
            what = f"leader {found[0].name} of epoch {state.epoch}"
        else:
            host = self._random.choice(self._client.hosts("drill"))
            os.kill(int(self._client.host_pid("drill", host)), signal.SIGKILL)
            what = host
        # What follows from the kill has to be seen before anybody counts as well again.
        time.sleep(1.0)
        self._wait_until_well()
        return what

    def _wait_until_well(self) -> None:
        started_s = time.monotonic()
        while not has_passed(started_s, RECOVERY_S):
            with suppress(ClusterError):
                runner = self._client.runner_status("drill")
                are_back = all(status is not None and status.child.address for _, status in self._client.statuses())
                is_open = len(self._client.look_at_hosts("drill")[0]) == 4
                if are_back and is_open and runner is not None and str(runner.phase) == "running":
                    return
            time.sleep(0.1)
        raise SystemExit("the cluster did not recover")


def main() -> int:
    """Run the drill; exit code 1 when a transition is missing or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--group", action="store_true", help="tell of several episodes at once")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tocsin-drill-") as directory:
        place = Path(directory)
        home = Home(place / "home")
        prepare_environment(home)
        with receiving(options.seed) as receiver, local_cluster(home, ClusterOptions(has_dashboard=False)):
            found = drill(Client(home), place, receiver, options.kills, options.seed, is_grouped=options.group)
            print(found)
            return int(not found.startswith("missing 0, doubled 0, different 0"))


def drill(client: Client, place: Path, receiver: Receiver, kill_count: int, seed: int, *, is_grouped: bool) -> str:
    """Run the job, kill so often, and return the figures."""
    load, over = Load(place / "rows.csv", seed), threading.Event()
    policy = "{group_by: [metric], group_wait: 300ms}" if is_grouped else "{}"
    client.submit(parse_job(JOB.format(path=place / "rows.csv", url=receiver.url, policy=policy), place))

    def feed() -> None:
        while not over.wait(0.1):
            load.step()

    feeding = threading.Thread(target=feed)
    feeding.start()
    try:
        running = Drill(client, seed)
        for number in range(kill_count):
            print(f"  killed {running.kill() or 'nobody'} ({number + 1}), load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        over.set()
        feeding.join()
    started_s = time.monotonic()
    while len(receiver.told()) < len(load.expected) and not has_passed(started_s, RECOVERY_S / 3):
        time.sleep(0.2)
    # What comes twice comes late.
    time.sleep(3.0)
    told = receiver.told()
    missing, doubled = load.expected - told, told - load.expected
    return (
        f"missing {missing.total()}, doubled {doubled.total()}, different {receiver.different_count}: "
        f"{load.expected.total()} transitions in {len(receiver.kept)} notifications, of which "
        f"{receiver.repeated_count} came again under their id; {kill_count} kills"
    )


if __name__ == "__main__":
    sys.exit(main())
