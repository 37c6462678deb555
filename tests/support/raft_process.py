"""A member of the Raft group in a process of its own, driven by lines of JSON.

Run as a module it is the member: settings as the only argument, one request a line on stdin, one response a line on
stdout. `MemberProcess` is the other end.
"""

import contextlib
import dataclasses
import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cluster.local.speed import slowness
from raft.commands import Accepted, JobSubmitted, decode_answer, encode_command
from raft.credentials import Credentials
from raft.errors import RaftError
from raft.member import Member, MemberSettings
from tests.support.credentials import PASSWORD

ROOT = Path(__file__).parents[2]


def free_addresses(count: int) -> dict[str, str]:
    """Return names and free loopback addresses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return {f"m{number}": f"127.0.0.1:{sock.getsockname()[1]}" for number, sock in enumerate(sockets)}


def wait_for(what: str, condition: Callable[[], Any], deadline_s: float = 15.0) -> Any:
    """Return the condition's value once it is true."""
    deadline_s *= slowness()
    end_s = time.monotonic() + deadline_s
    while not (value := condition()):
        assert time.monotonic() < end_s, f"{what} did not happen in {deadline_s} s"
        time.sleep(0.01)
    return value


class MemberProcess:
    """One member that can be killed and stopped."""

    def __init__(
        self, name: str, addresses: dict[str, str], directory: Path, *, before: Sequence[str] = (), **more: Any
    ) -> None:
        """Start it; `before` are words that the command begins with."""
        self.name, self.directory = name, directory / name
        self.address = addresses[name]
        settings = {"name": name, "addresses": addresses, "directory": str(self.directory), "durable": False}
        settings |= {"password": PASSWORD, **more}
        command = [*before, sys.executable, "-m", "tests.support.raft_process", json.dumps(settings)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._responses: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, request: str, *, wait_s: float = 20.0, **arguments: Any) -> dict[str, Any]:
        """Return the response to a request."""
        assert self._process.stdin is not None
        number = uuid.uuid4().hex
        self._process.stdin.write(json.dumps({"request": request, "number": number, **arguments}) + "\n")
        self._process.stdin.flush()
        while (response := self._responses.get(timeout=wait_s * slowness()))["number"] != number:
            pass
        return response

    def status(self) -> dict[str, Any]:
        """Return the member's status."""
        return self.ask("status")

    def led_epoch(self) -> int | None:
        """Return the epoch that it leads."""
        epoch: int | None = self.status()["led_epoch"]
        return epoch

    def submit(self, job_id: str, timeout_s: float = 10.0) -> bool:
        """Submit a job, and tell whether the group has it."""
        return bool(self.ask("submit", job_id=job_id, timeout_s=timeout_s)["accepted"])

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._process.kill()
        self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, to stop or continue it."""
        self._process.send_signal(number)

    def _read(self) -> None:
        """Pass responses on."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._responses.put(json.loads(line))


@contextlib.contextmanager
def started(
    addresses: dict[str, str], directory: Path, *, known: dict[str, str] | None = None, **more: Any
) -> Iterator[dict[str, MemberProcess]]:
    """Start a process for every member, who may know of more of them, and end those that are there at the end."""
    processes: dict[str, MemberProcess] = {}
    try:
        for name in addresses:
            processes[name] = MemberProcess(name, known or addresses, directory, **more)
        yield processes
    finally:
        for process in processes.values():
            process.kill()


def leader_of(processes: list[MemberProcess], deadline_s: float = 15.0) -> MemberProcess:
    """Return the one that leads, once there is one."""

    def leads() -> MemberProcess | None:
        return next((process for process in processes if process.led_epoch() is not None), None)

    leader: MemberProcess = wait_for("an election", leads, deadline_s)
    return leader


def main() -> None:
    """Be a member."""
    settings = json.loads(sys.argv[1])
    settings["directory"] = Path(settings["directory"])
    settings["credentials"] = Credentials.derive("g", settings.pop("password"))
    actions: list[str] = []
    with Member(MemberSettings(**settings), lambda action: actions.append(type(action).__name__)) as member:
        for line in sys.stdin:
            request = json.loads(line)
            response = respond(member, actions, request)
            say({"number": request["number"], **response})


def say(response: dict[str, Any]) -> None:
    """Write a response."""
    sys.stdout.write(json.dumps(response) + "\n")
    sys.stdout.flush()


def respond(member: Member, actions: list[str], request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    match request["request"]:
        case "submit":
            job_id = request["job_id"]
            job = JobSubmitted(request_id=job_id, job_id=job_id, spec=b"", partition_count=1, host_count=1)
            try:
                answer = decode_answer(member.propose(encode_command(job), request["timeout_s"]))
            except RaftError:
                return {"accepted": False}
            return {"accepted": isinstance(answer, Accepted)}
        case "admit":
            member.admit(request["name"], request["address"], request["identity"])
        case "expel":
            member.expel(request["name"])
        case "hand over":
            return {"handed_over": member.hand_over(request["timeout_s"])}
    status = dataclasses.asdict(member.status())
    return {**status, "led_epoch": member.led_epoch(), "jobs": sorted(member.state().jobs), "actions": actions}


if __name__ == "__main__":
    main()
