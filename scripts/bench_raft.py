"""Measure the Raft group on this machine: commits, against what the disk allows, and the gap after a leader ends.

Three members in one process, over loopback sockets, with journals that wait for the disk. Prints one line a figure.
"""

import argparse
import os
import socket
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from raft.commands import ScaleRequested, encode_command
from raft.credentials import Credentials
from raft.journal import Journal
from raft.member import Member, MemberSettings
from raft.settings import Timing


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement")
    parser.add_argument("--elections", type=int, default=5, help="leaders to end")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as directory:
        sync_s = measure_sync(Path(directory) / "sync", arguments.seconds / 3)
        print(f"journal sync                  {sync_s * 1e3:8.2f} ms median")
        with ExitStack() as stack:
            members = start(Path(directory), stack)
            wait_for_leader(members)
            one, one_cpu_s = measure_proposals(members, 1, arguments.seconds)
            many, many_cpu_s = measure_proposals(members, 32, arguments.seconds)
            print(f"proposals one after another   {one:8.0f} /s, {1 / one / sync_s:.1f} syncs each")
            print(f"proposals from 32 threads     {many:8.0f} /s, {many / one:.1f} x")
            print(f"CPU for each, three members   {one_cpu_s * 1e6:8.0f} us alone, {many_cpu_s * 1e6:.0f} us of 32")
        gaps_s = [measure_gap(Path(directory) / f"gap{number}") for number in range(arguments.elections)]
        print(f"leader ended to next leader   {statistics.median(gaps_s):8.2f} s median, {max(gaps_s):.2f} s worst")
        print(f"of the longest election timeout {statistics.median(gaps_s) / Timing().election_max_s:6.2f}")


def free_addresses() -> dict[str, str]:
    """Return names and free addresses for three members."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return {f"m{number}": f"127.0.0.1:{sock.getsockname()[1]}" for number, sock in enumerate(sockets)}


def start(directory: Path, stack: ExitStack) -> list[Member]:
    """Start three members, to be closed with the stack."""
    addresses, group = free_addresses(), Credentials.derive("bench", "a password for a measurement")
    return [
        stack.enter_context(
            Member(MemberSettings(name=name, addresses=addresses, directory=directory / name, credentials=group))
        )
        for name in addresses
    ]


def wait_for_leader(members: list[Member]) -> Member:
    """Return the member that leads, once there is one."""
    while True:
        for member in members:
            if member.is_leader():
                return member
        time.sleep(0.002)


def measure_sync(directory: Path, seconds: float) -> float:
    """Return the median time of a journal's sync with one small entry."""
    journal, times_s = Journal.open(directory), []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        journal.add(b"x" * 100, journal.last_index + 1, 1)
        began_s = time.monotonic()
        journal.sync()
        times_s.append(time.monotonic() - began_s)
    journal.close()
    return statistics.median(times_s)


def measure_proposals(members: list[Member], thread_count: int, seconds: float) -> tuple[float, float]:
    """Return the proposals answered in a second, proposed through the leader, and the CPU time of each."""
    leader, counts = wait_for_leader(members), [0] * thread_count
    end_s, began_cpu_s = time.monotonic() + seconds, time.process_time()

    def propose(number: int) -> None:
        while time.monotonic() < end_s:
            request_id = os.urandom(8).hex()
            leader.propose(encode_command(ScaleRequested(request_id=request_id, job_id="none", host_count=1)))
            counts[number] += 1

    threads = [threading.Thread(target=propose, args=(number,)) for number in range(thread_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds, (time.process_time() - began_cpu_s) / max(1, sum(counts))


def measure_gap(directory: Path) -> float:
    """Return the seconds from the end of a leader to the next one's first chance to act."""
    with ExitStack() as stack:
        members = start(directory, stack)
        leader = wait_for_leader(members)
        began_s = time.monotonic()
        threading.Thread(target=leader.close).start()
        wait_for_leader([member for member in members if member is not leader])
        return time.monotonic() - began_s


if __name__ == "__main__":
    main()
