"""Which nodes can read a job's source and write its sinks, and what is said where none can."""

import re
from typing import Any

import pytest

from cluster.errors import ClusterError
from cluster.leader.reach import is_near, misplaced, out_of_sight, placed, remarks_on_places, wanted_everywhere
from raft.group import NodeRecord
from tests.support.jobs import make_trades_job
from tests.support.partition_jobs import OWN_SPLITS, make_partition_job


def node(machine: str, *, carries_ray: bool = True) -> NodeRecord:
    return NodeRecord(
        address="", directory="", machine=machine, carries_ray=carries_ray, is_voter=True, is_draining=False,
        incarnation="",
    )  # fmt: skip


NODES = {"a-0": node("a"), "a-1": node("a", carries_ray=False), "b-0": node("b"), "c-0": node("c", carries_ray=False)}

KAFKA = {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "rows", "format": "json"}

IDLE = {"ticks": "5s", "idle_after": "30s"}

STREAM = {"type": "stream", "name": "rows", "splits": 2}


def sink(on: Any) -> dict[str, Any]:
    return {"type": "ndjson", "path": "out", "on": on}


def test_nodes_of_one_machine_have_the_same_files() -> None:
    assert is_near("a-1", ["a-0"], NODES)
    assert not is_near("b-0", ["a-0"], NODES)
    assert not is_near("b-0", ["x"], NODES)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"source": STREAM | {"on": "x"}}, "names the node 'x'; the cluster has a-0, a-1, b-0, c-0"),
        ({"source": STREAM | {"on": "b-0"}}, "is on b-0 alone, and the leader, which routes its rows, is on a-0"),
        ({"sinks": [sink("c-0")]}, "no node can have hosts of job 'trades': its source and its sinks are on c-0 alone"),
        (OWN_SPLITS | {"source": STREAM | {"on": "a-0"}, "sinks": [sink("b-0")]}, "are on a-0 and b-0 alone"),
        (IDLE | {"source": KAFKA}, "its source may be read on several: name one node, `on: NODE` in the source"),
        (IDLE | {"source": KAFKA | {"on": ["a-0", "b-0"]}}, "its source may be read on several"),
        (OWN_SPLITS | {"standby": 1}, "no host of another could read its splits for a standby"),
    ],
)
def test_a_job_that_nobody_could_run_is_refused(settings: dict[str, Any], text: str) -> None:
    assert text in (misplaced(make_partition_job(**settings), "a-0", NODES) or "")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"source": STREAM | {"on": "a-1"}},
        {"sinks": [sink("every")]},
        {"sinks": [sink(["a-1", "c-0"])]},
        OWN_SPLITS | {"source": STREAM | {"on": "b-0"}},
    ],
)
def test_a_job_that_some_nodes_can_run_is_taken(settings: dict[str, Any]) -> None:
    assert misplaced(make_partition_job(**settings), "a-0", NODES) is None


def test_a_job_that_reads_the_standard_input_is_refused() -> None:
    job = make_trades_job({"type": "stdin", "format": "json"})
    assert "reads the standard input, which a cluster has none of" in (misplaced(job, "a-0", NODES) or "")


def test_a_job_that_prints_on_the_standard_output_is_refused() -> None:
    job = make_partition_job(sinks=[{"type": "stdout"}])
    assert "prints on the standard output, which a cluster has none of" in (misplaced(job, "a-0", NODES) or "")


def test_a_table_is_where_its_job_is_submitted_unless_it_is_said_or_there_is_one_machine() -> None:
    job = make_partition_job(source=STREAM)
    assert placed(job, "b-0", "b-0", NODES).source_nodes == ("b-0",)
    assert placed(make_partition_job(source=STREAM | {"on": "a-0"}), "b-0", "a-0", NODES).source_nodes == ("a-0",)
    assert placed(make_partition_job(), "b-0", "a-0", NODES) == make_partition_job()
    assert placed(job, "a-0", "a-0", {"a-0": node("a"), "a-1": node("a")}) == job
    with pytest.raises(ClusterError, match=r"is on b-0 alone.*With `partition_by: split`"):
        placed(job, "b-0", "a-0", NODES)


def test_what_is_on_every_node_is_a_split_for_each_machine_that_has_hosts() -> None:
    source = {"type": "stream", "name": "rows", "on": "every"}
    job = make_partition_job(**OWN_SPLITS | {"source": source, "partitions": 1})
    found = placed(job, "b-0", "c-0", NODES | {"a-2": node("a")})
    assert (found.split_nodes, found.partitions, found.host_ties) == (("a-0", "b-0"), 2, ())
    assert "of a-0, b-0 have no copies on other machines" in remarks_on_places(found, NODES)[0]
    named = make_partition_job(**OWN_SPLITS | {"source": {"type": "stream", "name": "rows", "on": ["a-1", "b-0"]}})
    assert "names the node 'a-1', which has no hosts" in (misplaced(named, "b-0", NODES) or "")


def test_a_stream_table_of_one_machine_is_said_to_have_no_copy() -> None:
    job = make_partition_job(source=STREAM | {"on": "b-0"})
    assert remarks_on_places(job, NODES) == (
        "the stream table 'rows' is on b-0 alone: there is no copy of it on another machine",
    )
    alone = {"b-0": node("b"), "b-1": node("b")}
    assert [remarks_on_places(job, alone), remarks_on_places(make_partition_job(source=STREAM), NODES)] == [(), ()]


CSV = {"source": {"path": "/data/t.csv"}, "partitions": 1}


@pytest.mark.parametrize(
    ("settings", "missing", "text"),
    [
        (CSV, {"a-0": "x is not there", "b-0": None}, "cannot be read on a-0, which leads and would read it: x is not"),
        (CSV, {"a-0": "x", "b-0": None}, "b-0 can: say `partition_by: split` and, in the source, `on: b-0`, so"),
        (
            CSV | {"partition_by": "split"},
            {"a-0": "x", "b-0": None},
            "b-0 can: say in the source .*, `on: b-0`, or put",
        ),
        (
            CSV | {"partition_by": "split"},
            {"a-0": None, "a-1": None, "b-0": "x"},
            "b-0: x. a-0, a-1 can: .*`on: .a-0, a",
        ),
    ],
)
def test_files_that_the_wrong_nodes_have_are_a_reason_to_say_where_they_are(
    settings: dict[str, Any], missing: dict[str, str | None], text: str
) -> None:
    job = make_partition_job(**settings)
    assert wanted_everywhere(job, NODES) == ("/data/t.csv",)
    assert re.search(text, out_of_sight(job, missing, "a-0", NODES) or "")


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (CSV, {"a-0": None, "b-0": "x"}),
        (CSV, {"a-0": "x", "b-0": "x"}),
        (CSV, {"b-0": None}),
        (CSV | {"partition_by": "split"}, {"a-0": None, "c-0": "no host of a job comes here"}),
        (CSV | {"partition_by": "split"}, {}),
    ],
)
def test_files_that_nobody_has_yet_or_that_readers_have_are_no_reason(
    settings: dict[str, Any], missing: dict[str, str | None]
) -> None:
    assert out_of_sight(make_partition_job(**settings), missing, "a-0", NODES) is None


def test_only_files_without_nodes_on_several_machines_are_looked_for() -> None:
    one_machine = {name: NODES[name] for name in ("a-0", "a-1")}
    assert wanted_everywhere(make_partition_job(**CSV), one_machine) == ()
    assert wanted_everywhere(make_partition_job(source=STREAM), NODES) == ()
    assert wanted_everywhere(make_partition_job(source={"path": "/t.csv", "on": ["a-0", "b-0"]}), NODES) == ()
