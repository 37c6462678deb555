"""Four machines, each a network namespace, and what becomes of them in the long run: slow tests, run when asked for.

Each test leaves a cluster of healthy machines to the next one, and can be run alone. What a job leaves behind is its
anomaly table, all rows as stored events, and the files of a sink on a disk that the machines share.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.local.speed import slowness
from tests.support.bad_cable import bad_cable
from tests.support.company import (
    Left,
    begin,
    bystander,
    copies,
    delivered,
    found,
    head_of_ray,
    hosts,
    job_status,
    join,
    left_behind,
    nodes,
    said,
    start,
    submit,
)
from tests.support.fed_job import FedJob
from tests.support.namespaces import Machine, Machines, can_make
from tests.support.trades import entries_alone, write_trades

pytestmark = [
    pytest.mark.skipif(not can_make(), reason="needs root and `ip` of iproute2"),
    pytest.mark.timeout(900),
    pytest.mark.slow,
]

Eventually = Callable[..., Any]

Begin = Callable[..., FedJob]

FEW = 12_000
"""Rows of the file that jobs replay."""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    """Return four machines of which the first three are one cluster."""
    with Machines(tmp_path_factory.mktemp("company"), 4) as made:
        found(made[0], made[1:3])
        yield made


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of few trades: all that a job stores is read again and again."""
    path = tmp_path_factory.mktemp("few") / "few.parquet"
    write_trades(path, FEW, key_count=200, seed=7)
    return path


@pytest.fixture(scope="module")
def undisturbed(company: list[Machine], few: Path) -> Left:
    """Return what a job leaves behind to which nothing happens; it stays there."""
    submit(company[0], "undisturbed", few, keeps=True)
    left = left_behind(company[0], "undisturbed")
    assert left[0] == entries_alone(few, FEW)
    assert all(map(len, left))
    return left


@pytest.fixture
def begin_job(few: Path, eventually: Eventually) -> Iterator[Begin]:
    """Return a function that begins a job under a name and waits until it is in the middle, on some machines."""
    jobs: list[FedJob] = []

    def begin_on(submitter: Machine, name: str, *where: Machine, hosts: int = 3) -> FedJob:
        jobs.append(FedJob(submitter, name, few, hosts))
        # All partitions have committed something, and delivered it.
        eventually(lambda: len(delivered(submitter, name)) == 4, 120)
        eventually(lambda: all(copies(machine, name) for machine in where), 120)
        return jobs[-1]

    yield begin_on
    for job in jobs:
        job.finish()


def is_healthy(machine: Machine, name: str) -> bool:
    """Whether a node takes part again, and may have hosts."""
    row = nodes(machine).get(name, {"ray": "", "role": ""})
    return row["ray"] in ("running", "head, running") and row["role"] in ("leader", "follower")


def test_a_machine_with_a_slow_and_bad_network_delays_and_nothing_else(
    company: list[Machine], undisturbed: Left, begin_job: Begin
) -> None:
    _, victim, other = bystander(company)
    leader = [name for name, row in nodes(other).items() if row["role"] == "leader"]
    with bad_cable(victim, 0.2, 0.05):
        job = begin_job(other, "slow", victim)
        assert job.left_behind(other) == undisturbed
        assert [name for name, row in nodes(other).items() if row["role"] == "leader"] == leader


@pytest.mark.parametrize("choose", [bystander, head_of_ray])
def test_a_machine_that_was_cut_off_comes_back_without_what_is_elsewhere_now(
    choose: Callable[[list[Machine]], tuple[str, Machine, Machine]],
    company: list[Machine],
    few: Path,
    undisturbed: Left,
    begin_job: Begin,
    eventually: Eventually,
) -> None:
    name, victim, other = choose(company)
    cut, healed = f"cut-{choose.__name__}", f"healed-{choose.__name__}"
    job = begin_job(other, cut, victim)
    victim.cut_off()
    try:
        # Nobody accepts what is asked for there, however long it is tried.
        trying = start(victim, "stop", cut)
        # The others go on without it, and it does nothing for them.
        assert job.left_behind(other) == undisturbed
        assert trying.poll() in (None, 2)
        trying.kill()
        trying.communicate()
        assert job_status(victim, cut) == "running"
    finally:
        victim.connect()
    eventually(lambda: is_healthy(other, name), 120)
    eventually(lambda: not copies(victim, cut))
    # The hosts of before it was cut off belong to nobody.
    eventually(lambda: not hosts(victim))
    submit(other, healed, few, keeps=True)
    assert left_behind(other, healed) == undisturbed


def test_a_fourth_machine_joins_under_load_gets_partitions_and_leaves_with_nothing_lost(
    company: list[Machine], undisturbed: Left, begin_job: Begin, eventually: Eventually
) -> None:
    first, fourth = company[0], company[3]
    long = begin_job(first, "long")
    join(first, fourth)
    said(first, "scale", "long", "--hosts", "4")
    eventually(lambda: copies(fourth, "long"), 120)
    assert long.left_behind(first) == undisturbed
    busy = begin_job(first, "busy", fourth, hosts=4)
    # It leaves under load, with partitions of a job that runs and of one that has stopped.
    said(fourth, "leave")
    assert len(nodes(first)) == 3
    assert not fourth.pids()
    assert busy.left_behind(first) == undisturbed
    assert left_behind(first, "long") == undisturbed
    for job in ("busy", "long"):
        assert not copies(fourth, job)
        assert sum(len(copies(machine, job)) for machine in company) == 4


def test_a_member_that_lost_its_directory_waits_until_it_is_admitted_and_its_job_goes_on(
    company: list[Machine], undisturbed: Left, begin_job: Begin, eventually: Eventually
) -> None:
    name, victim, other = bystander(company)
    job = begin_job(other, "forgotten", victim)
    shutil.rmtree(victim.directory / "home" / "group-2" / name / "raft")

    def rows() -> list[tuple[bool, str]]:
        process = start(other, "member", "list", "--json")
        output, _ = process.communicate(timeout=200 * slowness())
        lines = [json.loads(line) for line in output.splitlines() if line[:1] == "{"]
        return [(row["votes"], row["role"]) for row in lines if row["member"] == name]

    eventually(lambda: rows() == [(True, "-"), (False, "forming")])
    said(other, "member", "admit", name)
    eventually(lambda: rows() == [(True, "follower")])
    assert job.left_behind(other) == undisturbed


def test_a_machine_dies_for_good_and_another_one_rebuilds_what_it_had(
    company: list[Machine], undisturbed: Left, begin_job: Begin, eventually: Eventually
) -> None:
    name, victim, other = bystander(company)
    job = begin_job(other, "dead", victim)
    victim.power_off()
    assert job.left_behind(other) == undisturbed
    assert not nodes(other)[name]["answers"]
    # A job that had finished before keeps what it has there, and nobody answers without it.
    answer = said(other, "query", "events", "undisturbed", code=2)
    assert f"{name}, which has partitions of job 'undisturbed', has not answered for" in answer
    assert f"tocsin member expel {name}" in answer
    # Its home says that something runs, under numbers that mean nothing any more.
    begin(victim)
    eventually(lambda: is_healthy(other, name), 120)
    eventually(lambda: not copies(victim, "dead"))
    assert left_behind(other, "undisturbed") == undisturbed


def test_the_machine_with_the_head_of_ray_dies_and_comes_back_as_one_of_the_others(
    company: list[Machine], undisturbed: Left, begin_job: Begin, eventually: Eventually
) -> None:
    name, head, other = head_of_ray(company)
    job = begin_job(other, "headless", *company[:3])
    head.power_off()
    assert job.left_behind(other) == undisturbed
    rows = nodes(other)
    assert not rows[name]["answers"]
    assert sum(row["ray"].startswith("head") for row in rows.values() if row["answers"]) == 1
    begin(head)
    eventually(lambda: is_healthy(other, name), 120)
    assert nodes(other)[name]["ray"] == "running"
    eventually(lambda: not copies(head, "headless"))
    assert left_behind(other, "undisturbed") == undisturbed


def test_a_machine_that_is_brought_down_comes_back_with_what_it_had(
    company: list[Machine], undisturbed: Left, begin_job: Begin, eventually: Eventually
) -> None:
    name, victim, other = bystander(company)
    job = begin_job(other, "down", victim)
    said(victim, "down")
    assert not victim.pids()
    assert job.left_behind(other) == undisturbed
    begin(victim)
    eventually(lambda: is_healthy(other, name), 120)
    assert left_behind(victim, "undisturbed") == undisturbed


def test_all_machines_lose_power_at_once_and_go_on_where_they_stood(
    company: list[Machine], undisturbed: Left, begin_job: Begin
) -> None:
    three = company[:3]
    job = begin_job(three[0], "blackout", *three)
    for machine in three:
        machine.power_off()
    # Two are a majority, which `up` waits for.
    words = ("--node-address", "--allow-path", str(three[0].directory.parent.parent))
    starts = [start(machine, "up", words[0], machine.address, *words[1:]) for machine in three]
    for process in starts:
        output, _ = process.communicate(timeout=200 * slowness())
        assert process.returncode == 0, output
    assert job.left_behind(three[0]) == undisturbed
    assert left_behind(three[0], "undisturbed") == undisturbed


@pytest.fixture
def small_disk(company: list[Machine]) -> Iterator[Machine]:
    """Return the fourth machine, with a disk of its own that has little room."""
    fourth = company[3]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", str(fourth.directory)], check=True)
    try:
        yield fourth
    finally:
        fourth.power_off()
        subprocess.run(["umount", "-l", str(fourth.directory)], check=True)


def test_a_machine_whose_disk_is_full_waits_for_room_and_loses_nothing(
    company: list[Machine],
    undisturbed: Left,
    small_disk: Machine,
    begin_job: Begin,
    eventually: Eventually,
) -> None:
    first = company[0]
    join(first, small_disk)
    name = next(name for name, row in nodes(first).items() if row["address"].startswith(f"{small_disk.address}:"))
    job = begin_job(first, "full", small_disk, hosts=4)
    ballast = small_disk.directory / "ballast"
    with open(ballast, "wb") as file:
        try:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        except OSError:
            pass
    time.sleep(5.0)
    assert job_status(first, "full") == "running"
    ballast.unlink()
    assert job.left_behind(first) == undisturbed
    eventually(lambda: is_healthy(first, name), 120)
    # A machine that is gone for good does not stay in the list.
    small_disk.power_off()
    assert "votes no more" in said(first, "member", "expel", name)
    assert name not in nodes(first)
    assert left_behind(first, "undisturbed") == undisturbed
    assert "were given up with their node" in said(first, "query", "events", "full", code=2)
