"""Members of the Raft group as real processes on the loopback network, killed, stopped and robbed of their disks."""

import contextlib
import random
import shutil
import signal
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.local.speed import slowness
from raft.records import JOB_COUNT_MAX
from raft.settings import Timing
from raft.wire import OTHER_PASSWORD, encode_hello
from tests.support.credentials import credentials
from tests.support.namespaces import Machines, can_make
from tests.support.raft_callers import framed, greeting
from tests.support.raft_process import MemberProcess, free_addresses, leader_of, started, wait_for

pytestmark = pytest.mark.cluster


def has_jobs(process: MemberProcess, jobs: list[str]) -> bool:
    return bool(process.status()["jobs"] == jobs)


def rejected_by(process: MemberProcess) -> dict[str, str]:
    """Return the reasons for which a member takes others not, by their addresses."""
    return {peer["address"]: peer["reason"] for peer in process.status()["rejected"]}


def test_a_killed_leader_is_replaced_and_comes_back_with_its_journal(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    with started(addresses, tmp_path) as processes:
        first = leader_of(list(processes.values()))
        assert first.submit("a")
        first.kill()
        killed_s = time.monotonic()
        second = leader_of([process for process in processes.values() if process is not first])
        assert time.monotonic() - killed_s < 5.0 * slowness()
        assert second.led_epoch() == 2
        assert second.submit("b")
        processes[first.name] = MemberProcess(first.name, addresses, tmp_path)
        wait_for("catching up", lambda: has_jobs(processes[first.name], ["a", "b"]))


def test_leadership_is_handed_over_without_a_lost_command(tmp_path: Path) -> None:
    with started(free_addresses(3), tmp_path) as processes:
        first = leader_of(list(processes.values()))
        others = [process for process in processes.values() if process is not first]
        assert first.submit("a")
        began_s = time.monotonic()
        assert first.ask("hand over", timeout_s=10.0)["handed_over"]
        second = leader_of(others)
        assert time.monotonic() - began_s < Timing().election_min_s * slowness()
        assert (first.led_epoch(), second.led_epoch()) == (None, 2)
        assert first.submit("b")
        for process in processes.values():
            wait_for("catching up", lambda process=process: has_jobs(process, ["a", "b"]))


def test_a_leader_with_nobody_to_replace_it_leads_on(tmp_path: Path) -> None:
    with started(free_addresses(3), tmp_path) as processes:

        def leads_on() -> bool:
            """Stop the others and ask; on a busy machine one of them may have been elected just before."""
            leader = leader_of(list(processes.values()))
            others = [process for process in processes.values() if process is not leader]
            for process in others:
                process.send_signal(signal.SIGSTOP)
            try:
                has_handed_over = leader.ask("hand over", timeout_s=0.3)["handed_over"]
                return not has_handed_over and leader.status()["role"] == "leader"
            finally:
                for process in others:
                    process.send_signal(signal.SIGCONT)

        wait_for("leading on", leads_on)
        assert leader_of(list(processes.values())).submit("a")


def test_a_stopped_leader_gives_up_when_it_continues(tmp_path: Path) -> None:
    with started(free_addresses(3), tmp_path) as processes:
        first = leader_of(list(processes.values()))
        first.send_signal(signal.SIGSTOP)
        second = leader_of([process for process in processes.values() if process is not first])
        assert second.submit("a")
        time.sleep(1.0)
        first.send_signal(signal.SIGCONT)
        assert first.led_epoch() is None
        wait_for("following", lambda: first.status()["leader_id"] == second.name)
        assert first.submit("b")
        assert second.led_epoch() == 2
        assert [action for action in first.status()["actions"] if action != "JobsChanged"] == [
            "BecomeLeader",
            "StepDown",
        ]


def test_a_stopped_follower_does_not_disturb_the_leader_when_it_continues(tmp_path: Path) -> None:
    with started(free_addresses(3), tmp_path) as processes:
        leader = leader_of(list(processes.values()))
        follower = next(process for process in processes.values() if process is not leader)
        follower.send_signal(signal.SIGSTOP)
        assert leader.submit("a")
        time.sleep(2.0)
        follower.send_signal(signal.SIGCONT)
        wait_for("catching up", lambda: has_jobs(follower, ["a"]))
        assert (leader.led_epoch(), leader.status()["term"]) == (1, 1)


@pytest.mark.skipif(not can_make(), reason="needs root and `ip` of iproute2")
def test_a_follower_that_was_cut_off_costs_no_election_when_it_is_back(tmp_path: Path) -> None:
    with Machines(tmp_path, 3) as machines:
        by_name = {f"m{number}": machine for number, machine in enumerate(machines)}
        addresses = {name: f"{machine.address}:7101" for name, machine in by_name.items()}
        processes = [
            MemberProcess(name, addresses, machine.directory, before=machine.command())
            for name, machine in by_name.items()
        ]
        leader = leader_of(processes)
        term, follower = leader.status()["term"], next(process for process in processes if process is not leader)
        wait_for("following", lambda: follower.status()["leader_id"] == leader.name)
        by_name[follower.name].cut_off()
        wait_for("silence", lambda: follower.status()["leader_id"] is None)
        assert leader.submit("a")
        by_name[follower.name].connect()
        wait_for("catching up", lambda: has_jobs(follower, ["a"]))
        assert [process.status()["term"] for process in processes] == [term] * 3
        assert leader.led_epoch() == 1


def test_a_group_that_was_killed_as_a_whole_goes_on_where_it_was(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    with started(addresses, tmp_path) as processes:
        assert leader_of(list(processes.values())).submit("a")
    with started(addresses, tmp_path) as processes:
        leader = leader_of(list(processes.values()))
        assert (leader.led_epoch(), leader.status()["jobs"]) == (2, ["a"])


def test_a_group_of_one_works_and_remembers(tmp_path: Path) -> None:
    addresses = free_addresses(1)
    with started(addresses, tmp_path) as processes:
        assert leader_of(list(processes.values())).submit("a")
    with started(addresses, tmp_path) as processes:
        assert leader_of(list(processes.values())).status()["jobs"] == ["a"]


def attack(address: str, end_s: float) -> int:
    """Do to a member, until a moment, all that strangers can, and return how often."""
    host, _, port = address.rpartition(":")
    dice, idle = random.Random(1), list[socket.socket]()
    hello = framed(encode_hello(greeting("m0")))
    stranger = credentials("g", "not the password of tests").client_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    count = 0
    while time.monotonic() < end_s:
        sock = socket.create_connection((host, int(port)), timeout=5 * slowness())
        count += 1
        # A member may hang up at any moment.
        with contextlib.suppress(OSError):
            match count % 4:
                case 0:
                    sock.sendall(dice.choice((b"", b"\x16\x03\x01", hello)) + dice.randbytes(dice.randrange(1, 5000)))
                    sock.close()
                case 1:
                    with stranger.wrap_socket(sock) as tls:
                        tls.sendall(hello)
                        assert tls.recv(1000) == b""
                case _:
                    idle.append(sock)
        while len(idle) > 200:
            idle.pop(0).close()
    for sock in idle:
        sock.close()
    return count


def test_strangers_on_the_network_do_no_harm(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    with started(addresses, tmp_path) as processes:
        leader = leader_of(list(processes.values()))
        wait_for("connections", lambda: len(leader.status()["connected"]) == 2)
        end_s = time.monotonic() + 5.0
        with ThreadPoolExecutor(3) as pool:
            counts = pool.map(lambda address: attack(address, end_s), addresses.values())
            number = 0
            # A quick machine would come to the largest number of jobs that a group takes.
            while time.monotonic() < end_s and number < JOB_COUNT_MAX:
                number += 1
                assert leader.submit(f"job-{number}")
            assert min(counts) > 50 / slowness()
        assert leader.led_epoch() == 1
        for process in processes.values():
            assert process.status()["term"] == leader.status()["term"] == 1
            assert {peer["name"] for peer in process.status()["rejected"]} <= {""}


def test_without_a_majority_nothing_is_accepted_until_it_is_back(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    with started(addresses, tmp_path) as processes:
        leader = leader_of(list(processes.values()))
        followers = [process for process in processes.values() if process is not leader]
        for follower in followers:
            follower.kill()
        assert not leader.submit("a", timeout_s=2.0)
        assert leader.led_epoch() is None
        processes[followers[0].name] = MemberProcess(followers[0].name, addresses, tmp_path)
        assert leader.submit("a")


def test_a_member_that_is_far_behind_gets_the_dump(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    with started(addresses, tmp_path, log_entry_count_max=5) as processes:
        leader = leader_of(list(processes.values()))
        behind = next(process for process in processes.values() if process is not leader)
        behind.kill()
        jobs = [f"job-{number:02}" for number in range(20)]
        assert all(leader.submit(job) for job in jobs)
        processes[behind.name] = MemberProcess(behind.name, addresses, tmp_path, log_entry_count_max=5)
        wait_for("catching up", lambda: has_jobs(processes[behind.name], jobs))
        assert "StateRestored" in processes[behind.name].status()["actions"]


def test_a_member_with_a_wrong_password_stays_out_and_everybody_sees_why(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    stranger = "m2"
    with started(dict(list(addresses.items())[:2]), tmp_path, known=addresses) as processes:
        processes[stranger] = MemberProcess(stranger, addresses, tmp_path, password="not the password of tests")
        called = {addresses["m0"], addresses["m1"]}
        wait_for("rejection", lambda: called <= rejected_by(processes[stranger]).keys())
        assert set(rejected_by(processes[stranger]).values()) == {OTHER_PASSWORD}
        assert processes[stranger].status()["role"] == "forming"
        for name in ("m0", "m1"):
            wait_for("rejection", lambda name=name: addresses[stranger] in rejected_by(processes[name]))
        processes[stranger].kill()
        processes[stranger] = MemberProcess(stranger, addresses, tmp_path)
        assert leader_of(list(processes.values())).submit("a")


def test_a_member_that_has_lost_its_directory_waits_until_it_is_admitted(tmp_path: Path) -> None:
    addresses = free_addresses(3)
    with started(addresses, tmp_path) as processes:
        leader = leader_of(list(processes.values()))
        assert leader.submit("a")
        lost = next(process for process in processes.values() if process is not leader)
        lost.kill()
        shutil.rmtree(lost.directory)
        returned = processes[lost.name] = MemberProcess(lost.name, addresses, tmp_path)
        wait_for("refusal", lambda: "expel its former self" in returned.status()["problem"])
        assert returned.status()["role"] == "forming"
        leader.ask("expel", name=lost.name)
        leader.ask("admit", name=lost.name, address=lost.address, identity=returned.status()["identity"])
        wait_for("catching up", lambda: has_jobs(returned, ["a"]))
        assert returned.submit("b")


def test_a_group_grows_to_five(tmp_path: Path) -> None:
    addresses = free_addresses(5)
    first = dict(list(addresses.items())[:3])
    with started(first, tmp_path) as processes:
        leader = leader_of(list(processes.values()))
        assert leader.submit("a")
        for name in ("m3", "m4"):
            known = {**first, name: addresses[name]}
            processes[name] = MemberProcess(name, known, tmp_path)
            identity = processes[name].status()["identity"]
            leader.ask("admit", name=name, address=addresses[name], identity=identity)
            wait_for("catching up", lambda name=name: has_jobs(processes[name], ["a"]))
        assert [voter[0] for voter in leader.status()["voters"]] == ["m0", "m1", "m2", "m3", "m4"]
