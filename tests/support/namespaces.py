"""Machines of their own on one: network namespaces with addresses on one bridge, each with a directory.

Needs root and `ip` (iproute2). Everything has this process's number in its name, so that runs do not meet.
"""

import os
import shutil
import subprocess
from pathlib import Path


def can_make() -> bool:
    """Return whether this process may make network namespaces."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


class Machine:
    """One namespace."""

    def __init__(self, name: str, address: str, link: str, directory: Path) -> None:
        self.name = name
        self.address = address
        self.link = link
        """Name of the end of its cable that is outside."""
        self.directory = directory

    def command(self, *words: str) -> list[str]:
        """Return a command as it is run on the machine."""
        return ["ip", "netns", "exec", self.name, *words]

    def pids(self) -> list[int]:
        """Return the processes that run on the machine."""
        return [int(pid) for pid in _ip("netns", "pids", self.name).split()]

    def power_off(self) -> None:
        """Kill everything that runs on the machine, at once."""
        while pids := self.pids():
            for pid in pids:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue

    def cut_off(self) -> None:
        """Take the cable out."""
        _ip("link", "set", self.link, "down")

    def connect(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.link, "up")

    def disturb(self, *rule: str) -> None:
        """Have the network of the machine delay or lose packets, by a rule of `tc netem`; none ends it."""
        base = ["tc", "qdisc", "replace", "dev", self.link, "root"]
        words = [*base, "netem", *rule] if rule else [*base[:2], "del", *base[3:]]
        subprocess.run(words, check=True, capture_output=True)


class Machines:
    """Machines on one bridge; a context manager that takes them down."""

    def __init__(self, directory: Path, count: int) -> None:
        self._bridge = f"tb{os.getpid() % 100_000}"
        self._directory = directory
        self._count = count
        self.machines: list[Machine] = []

    def __enter__(self) -> list[Machine]:
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("link", "set", self._bridge, "up")
        for number in range(1, self._count + 1):
            self.machines.append(self._make(number))
        return self.machines

    def __exit__(self, *_: object) -> None:
        for machine in self.machines:
            machine.power_off()
            _ip("netns", "del", machine.name)
        _ip("link", "del", self._bridge)

    def _make(self, number: int) -> Machine:
        name, link, inner = f"{self._bridge}n{number}", f"{self._bridge}v{number}", f"{self._bridge}i{number}"
        directory = self._directory / f"machine-{number}"
        directory.mkdir(parents=True)
        machine = Machine(name, f"10.99.{os.getpid() % 250}.{number}", link, directory)
        _ip("netns", "add", name)
        _ip("link", "add", link, "type", "veth", "peer", "name", inner)
        _ip("link", "set", link, "master", self._bridge)
        _ip("link", "set", link, "up")
        _ip("link", "set", inner, "netns", name)
        for words in (
            ("addr", "add", f"{machine.address}/24", "dev", inner),
            ("link", "set", inner, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", name, *words)
        return machine


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
