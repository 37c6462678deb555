"""How fast messages of Kafka are read, beside the client's own loop over the same messages.

The broker is librdkafka's mock cluster, in a process of its own, which keeps 100,000 messages of a partition. Each
round reads all messages by a loop that asks the client for 10,000 at once and looks at errors and lengths alone, by the
transport of a job, and by the whole source, which decodes JSON. Rates are medians of the rounds; ratios are to the
loop, in time and in CPU time of this process. Needs the extra `kafka`.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from actors.source.decoding import RowRules
from actors.source.format.ndjson import ndjson_format
from actors.source.reading import RecordSource
from actors.source.transport.kafka import KafkaTransport, client_settings
from config.brokers import KafkaSecuritySettings
from config.formats import NdjsonFormatSettings
from tests.support.jobs import make_trades_job

TOPIC, PARTITION_COUNT = "readings", 4


def serve(pipe: Connection, count: int) -> None:
    """Run the broker with so many messages until someone ends it."""
    from confluent_kafka import Producer

    broker = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    (place,) = broker.list_topics(timeout=10).brokers.values()
    address = f"{place.host}:{place.port}"
    producer = Producer({"bootstrap.servers": address, "linger.ms": 20, "log_level": 0})
    for number in range(count):
        text = f'{{"time": {1767225600000 + number}, "sym": "S{number % 50}", "qty": {number % 1000}}}'
        producer.produce(TOPIC, text.encode(), partition=number % PARTITION_COUNT)
        if number % 5000 == 0:
            producer.poll(0)
    producer.flush()
    pipe.send(address)
    pipe.recv()


def read_by_loop(settings: dict[str, str | int | bool], count: int) -> None:
    """Read by the client alone."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(settings)
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITION_COUNT)])
    seen = size = 0
    while seen < count:
        for message in consumer.consume(10_000, 0.1):
            if message.error() is None:
                seen += 1
                size += len(message.value() or b"")
    consumer.close()


def read_by_transport(settings: dict[str, str | int | bool], count: int) -> None:
    """Read blocks as a job gets them."""
    transport = KafkaTransport(settings, TOPIC)
    positions, seen = dict.fromkeys(range(PARTITION_COUNT), 0), 0
    while seen < count:
        for split, offset in positions.items():
            block = transport.block_at(split, offset, 50_000)
            if block is not None:
                seen += len(block.content)
                positions[split] = block.next_offset
    transport.close()


def read_by_source(settings: dict[str, str | int | bool], count: int) -> None:
    """Read rows."""
    schema = make_trades_job({"rows": []}).row_schema
    form = ndjson_format(NdjsonFormatSettings(), RowRules(schema=schema, time_column="time"))
    source = RecordSource(schema, KafkaTransport(settings, TOPIC), form)
    positions, seen = dict.fromkeys(range(PARTITION_COUNT), 0), 0
    while seen < count:
        for split, offset in positions.items():
            batch = source.read(split, offset, 50_000)
            seen += batch.frame.height
            positions[split] = batch.next_offset
    source.close()


READERS: dict[str, Callable[[dict[str, str | int | bool], int], None]] = {
    "the client's own loop": read_by_loop,
    "transport": read_by_transport,
    "source (JSON decoded)": read_by_source,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How fast messages of Kafka are read.")
    parser.add_argument("--messages", type=int, default=300_000, help="at most 400,000 (default: 300,000)")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    mine, theirs = multiprocessing.Pipe()
    broker = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, options.messages), daemon=True)
    broker.start()
    settings = client_settings([mine.recv()], KafkaSecuritySettings(), None, "bench")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in READERS}
    for _ in range(options.rounds):
        for name, read in READERS.items():
            time_s, cpu_s = time.perf_counter(), time.process_time()
            read(settings, options.messages)
            found[name].append((time.perf_counter() - time_s, time.process_time() - cpu_s))
    mine.send(None)
    broker.join()
    rates = {
        name: [options.messages / statistics.median(one[at] for one in runs) for at in (0, 1)]
        for name, runs in found.items()
    }
    own = rates["the client's own loop"]
    for name, (rate, cpu_rate) in rates.items():
        ratios = f"{rate / own[0]:.2f} of the loop, {cpu_rate / own[1]:.2f} by CPU time"
        print(f"{name:24} {rate:12,.0f} messages/s {cpu_rate:12,.0f} a second of CPU   {ratios}")


if __name__ == "__main__":
    main()
