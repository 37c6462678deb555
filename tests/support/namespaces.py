"""Machines of their own on one: network namespaces with addresses on one bridge, each with a directory.

Needs root and `ip` (iproute2). Everything has this process's number in its name, so that runs do not meet.
"""

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path


@functools.cache
def can_make() -> bool:
    """Return whether this process may make network namespaces, with a bridge and cables; containers often may not."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"tp{os.getpid() % 100_000}"
    tries = (
        ("netns", "add", name),
        ("link", "add", f"{name}b", "type", "bridge"),
        ("link", "add", f"{name}v", "type", "veth", "peer", "name", f"{name}i"),
    )
    done = [subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0 for words in tries]
    for words in (("netns", "del", name), ("link", "del", f"{name}b"), ("link", "del", f"{name}v")):
        subprocess.run(["ip", *words], capture_output=True, check=False)
    return all(done)


class Machine:
    """One namespace."""

    def __init__(self, name: str, bridge: str, number: int, directory: Path) -> None:
        self.name = name
        self.bridge = bridge
        self.address = f"10.99.{os.getpid() % 250}.{number}"
        self.link = f"{bridge}v{number}"
        """Name of the end of its cable that is outside."""
        self.device = f"{bridge}i{number}"
        """Name of the end that is inside."""
        self.directory = directory

    def command(self, *words: str) -> list[str]:
        """Return a command as it is run on the machine."""
        return ["ip", "netns", "exec", self.name, *words]

    def pids(self) -> list[int]:
        """Return the processes that run on the machine."""
        return [int(pid) for pid in ip("netns", "pids", self.name).split()]

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
        ip("link", "set", self.link, "down")

    def connect(self) -> None:
        """Put the cable back."""
        ip("link", "set", self.link, "up")

    def use_device(self, wanted: str) -> None:
        """Give its addresses to one of its network devices; the others end theirs."""
        found = json.loads(ip("-n", self.name, "-j", "link", "show"))
        hardware = next(device["address"] for device in found if device["ifname"] == self.device)
        for device in found:
            if device["ifname"] not in ("lo", wanted):
                ip("-n", self.name, "addr", "flush", "dev", device["ifname"])
                ip("-n", self.name, "link", "set", device["ifname"], "down")
        # The same hardware address, so that nobody has to find the machine anew.
        ip("-n", self.name, "link", "set", wanted, "address", hardware)
        ip("-n", self.name, "addr", "add", f"{self.address}/24", "dev", wanted)
        ip("-n", self.name, "link", "set", wanted, "up")


class Machines:
    """Machines on one bridge; a context manager that takes them down."""

    def __init__(self, directory: Path, count: int) -> None:
        self._bridge = f"tb{os.getpid() % 100_000}"
        self._directory = directory
        self._count = count
        self.machines: list[Machine] = []

    def __enter__(self) -> list[Machine]:
        ip("link", "add", self._bridge, "type", "bridge")
        ip("link", "set", self._bridge, "up")
        for number in range(1, self._count + 1):
            self.machines.append(self._make(number))
        return self.machines

    def __exit__(self, *_: object) -> None:
        for machine in self.machines:
            machine.power_off()
            ip("netns", "del", machine.name)
        ip("link", "del", self._bridge)

    def _make(self, number: int) -> Machine:
        directory = self._directory / f"machine-{number}"
        directory.mkdir(parents=True)
        machine = Machine(f"{self._bridge}n{number}", self._bridge, number, directory)
        ip("netns", "add", machine.name)
        ip("link", "add", machine.link, "type", "veth", "peer", "name", machine.device)
        ip("link", "set", machine.link, "master", self._bridge)
        ip("link", "set", machine.link, "up")
        ip("link", "set", machine.device, "netns", machine.name)
        ip("-n", machine.name, "link", "set", "lo", "up")
        machine.use_device(machine.device)
        return machine


def ip(*words: str) -> str:
    """Return what the command `ip` says."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
