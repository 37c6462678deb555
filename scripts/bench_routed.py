"""Benchmark of the routed path: nanoseconds of CPU time that a row costs from its source to a flushed shard.

    python scripts/bench_routed.py                       1,000,000 rows, 1,000 keys, 4 partitions at 2 hosts
    python scripts/bench_routed.py --partitions 16

All is done in one process, without Ray: the source is read and decoded, rows are routed, each host's message becomes
bytes and buffers as Ray makes them (pickle, protocol 5) and a message again, and the hosts apply it and flush. All are
copied once, as they are into Ray's object store. Medians of rounds.
"""

import argparse
import pickle
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from failover_drill import make_trades

from actors.host import PartitionHost
from actors.host_batch import HostBatch
from actors.source.open import open_source
from cluster.leader.reading import SplitBatch, SplitReader
from config.load import parse_job
from config.settings import JobSettings

JOB = """
job: trades
schema: {{time: TIMESTAMP, sym: SYMBOL, price: DOUBLE, qty: LONG}}
time: time
key: [sym]
metrics:
  - qty < 4
  - sum(qty) > 150000
  - avg(qty) > 40 * qty
  - price > 1.05 * prev(price)
window: {{size: 3s, step: 3s}}
source: {{type: parquet, path: trades.parquet}}
events: {{anomalies: false}}
partitions: {partitions}
"""

HOST_COUNT = 2

T = TypeVar("T")


class Steps:
    """CPU time of named steps."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = defaultdict(int)

    def take(self, name: str, action: Callable[..., T], *given: Any) -> T:
        """Do something and count the time that it takes."""
        start = time.process_time_ns()
        result = action(*given)
        self.spent[name] += time.process_time_ns() - start
        return result


def packed(batch: SplitBatch, partitions: list[int]) -> tuple[bytearray, list[bytearray]]:
    """Return the message for some partitions as bytes, and its buffers, copied."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(batch.message(partitions), protocol=5, buffer_callback=buffers.append)
    return bytearray(data), [bytearray(buffer.raw()) for buffer in buffers]


def unpacked(data: bytearray, buffers: list[bytearray]) -> HostBatch:
    """Return the message again."""
    message: HostBatch = pickle.loads(data, buffers=buffers)
    return message


def run(job: JobSettings, directory: Path) -> tuple[int, Steps, int]:
    """Return how many rows there were, what each step took, and the bytes of all messages."""
    source, steps, size_bytes = open_source(job, directory), Steps(), 0
    numbers = [list(range(first, job.partitions, HOST_COUNT)) for first in range(HOST_COUNT)]
    hosts = [PartitionHost(job.to_bytes(), str(directory / f"host-{number}")) for number in range(HOST_COUNT)]
    read, reader = source.read, SplitReader(job, source)
    # The reader routes what it reads, so the source's part is counted within it and taken off.
    source.read = lambda *given: steps.take("read and decode", read, *given)  # type: ignore[method-assign]
    for host, own in zip(hosts, numbers, strict=True):
        host.open(1, own, {0: 0}, {}, 0)
    offset, at_end = 0, False
    while not at_end:
        batch = steps.take("route", reader.read, 0, offset, job.limits.batch_rows_max)
        offset, at_end = batch.end, batch.at_end
        for host, own in zip(hosts, numbers, strict=True):
            data, buffers = steps.take("message to bytes", packed, batch, own)
            size_bytes += len(data) + sum(map(len, buffers))
            message = steps.take("bytes to message", unpacked, data, buffers)
            steps.take("apply", host.apply, 1, message, 0)
    for host in hosts:
        steps.take("flush", host.flush, 1, 0)
        host.close()
    steps.spent["route"] -= steps.spent["read and decode"]
    return offset, steps, size_bytes


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=1000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as directory:
        place = Path(directory)
        make_trades(place / "trades.parquet", options.rows, options.keys, 1)
        job = parse_job(JOB.format(partitions=options.partitions), place)
        for number in range(options.rounds):
            target = place / str(number)
            target.mkdir()
            rows, steps, size_bytes = run(job, target)
            for name, spent in steps.spent.items():
                found[name].append(spent / rows)
    for name, each in found.items():
        print(f"{name:20} {statistics.median(each):8.1f} ns")
    print(f"{'bytes of messages':20} {size_bytes / rows:8.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
