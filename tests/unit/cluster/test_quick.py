"""Commands that ask a cluster start quickly: they load nothing that only those need who work on rows."""

import subprocess
import sys

import pytest

SLOW = {"aiohttp", "lmdb", "numpy", "polars", "pydantic", "pysyncobj", "ray"}
"""What takes long to import."""


@pytest.mark.parametrize(
    "modules",
    ["cluster.cli", "cluster.client.client", "cluster.show.status", "cluster.show.nodes", "cluster.commands.jobs"],
)
def test_what_asks_a_cluster_loads_nothing_slow(modules: str) -> None:
    code = f"import sys, {modules}; print(sorted({SLOW} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
