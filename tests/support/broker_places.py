"""Real brokers with places that sinks deliver to, and what is there."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cluster.local.speed import slowness
from tests.support.brokers import Server, kafka_command, nats_command, redis_command, running


class Broker(ABC):
    """A broker with a place for messages, of which there may be another one for each test."""

    server: Server
    knows_ids = True
    """Whether it leaves out what it has had under an id."""
    keeps_on_kill = True

    def __init__(self) -> None:
        self._count = 0
        self.name = ""

    def renew(self) -> None:
        """Make another place."""
        self._count += 1
        self.make(f"alarms{self._count}")

    def make(self, name: str) -> None:
        """Make a place of a name."""
        self.name = name

    @abstractmethod
    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of a sink there."""

    @abstractmethod
    def taken(self) -> list[tuple[str, Any]]:
        """Return what is there, in order, by ids."""

    def ids(self) -> list[str]:
        return [one for one, _ in self.taken()]


class KafkaBroker(Broker):
    knows_ids = keeps_on_kill = False

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        super().__init__()
        self.server = stack.enter_context(running(kafka_command(directory)))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def make(self, name: str) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic

        super().make(name)
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"type": "kafka", "brokers": [self.address], "topic": self.name, **more}

    def messages(self) -> list[Any]:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "a", "enable.partition.eof": True})
        try:
            consumer.assign([TopicPartition(self.name, 0, 0)])
            found: list[Any] = []
            while (message := consumer.poll(20 * slowness())) is not None and message.error() is None:
                found.append(message)
            return found
        finally:
            consumer.close()

    def taken(self) -> list[tuple[str, Any]]:
        return [(dict(one.headers())["Idempotency-Key"].decode(), json.loads(one.value())) for one in self.messages()]


class NatsBroker(Broker):
    def __init__(self, stack: ExitStack, directory: Path) -> None:
        super().__init__()
        self.server = stack.enter_context(running(nats_command(directory / "nats")))

    def run(self, work: Callable[[Any], Any]) -> Any:
        import nats

        async def act() -> Any:
            client = await nats.connect(f"nats://127.0.0.1:{self.server.port}")
            try:
                return await work(client.jetstream(timeout=20))
            finally:
                await client.close()

        return asyncio.run(act())

    def make(self, name: str) -> None:
        super().make(name)
        self.run(lambda stream: stream.add_stream(name=name, subjects=[f"{name}.>"]))

    def settings(self, **more: Any) -> dict[str, Any]:
        servers = [f"nats://127.0.0.1:{self.server.port}"]
        return {"type": "nats", "servers": servers, "subject": f"{self.name}.{{sym}}", **more}

    def messages(self) -> list[Any]:
        name = self.name

        async def read(stream: Any) -> list[Any]:
            count = (await stream.stream_info(name)).state.last_seq
            return [await stream.get_msg(name, seq=number + 1) for number in range(count)]

        found: list[Any] = self.run(read)
        return found

    def taken(self) -> list[tuple[str, Any]]:
        return [(one.headers["Nats-Msg-Id"], json.loads(one.data)) for one in self.messages()]


class RedisBroker(Broker):
    def __init__(self, stack: ExitStack, directory: Path) -> None:
        super().__init__()
        self.server = stack.enter_context(running(redis_command(directory)))
        import redis

        self.client = stack.enter_context(redis.Redis(port=self.server.port))

    def settings(self, **more: Any) -> dict[str, Any]:
        url = f"redis://127.0.0.1:{self.server.port}/0"
        return {"type": "redis", "url": url, "stream": self.name, **more}

    def taken(self) -> list[tuple[str, Any]]:
        found = self.client.xrange(self.name)
        return [(entry[b"id"].decode(), json.loads(entry[b"data"])) for _, entry in found]


BROKERS = {"kafka": KafkaBroker, "nats": NatsBroker, "redis": RedisBroker}
