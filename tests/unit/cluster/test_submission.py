"""The settings of a job travel in the environment of a program, which has its limits."""

import random

import pytest

from cluster.client.client import check_group
from cluster.client.submission import JOB_SIZE_BYTES_MAX, pack_job, unpack_job
from cluster.errors import ClusterError
from tests.support.partition_jobs import make_partition_job


def test_a_job_arrives_as_it_was_sent() -> None:
    job = make_partition_job()
    assert unpack_job(pack_job(job)) == job
    assert pack_job(job).isascii()


def test_settings_that_do_not_fit_are_refused() -> None:
    rng = random.Random(1)
    rows = [[at, rng.randbytes(500).hex(), 1, "ann"] for at in range(300)]
    with pytest.raises(ClusterError, match="keep rows in a file of their own"):
        pack_job(make_partition_job(source={"rows": rows}))


def test_the_longest_settings_fit_into_one_variable() -> None:
    assert JOB_SIZE_BYTES_MAX < 128 * 1024


@pytest.mark.parametrize("group", [None, 2])
def test_a_job_goes_to_the_group_that_it_wants(group: int | None) -> None:
    check_group(make_partition_job(group=group), 2)


def test_a_job_that_wants_another_group_is_refused() -> None:
    with pytest.raises(
        ClusterError, match=r"wants group 5, but the cluster has group 2 alone; write `group: 2`, leave"
    ):
        check_group(make_partition_job(group=5), 2)
