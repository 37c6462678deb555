"""The settings of a job travel in the environment of a program, which has its limits."""

import random

import pytest

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
