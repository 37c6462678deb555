"""Commands that ask a cluster start quickly: they load nothing that only those need who work on rows."""

import subprocess
import sys

import pytest

SLOW = {"aiohttp", "lmdb", "numpy", "polars", "pydantic", "pysyncobj", "ray"}
"""What takes long to import."""

WORKING = {"aiohttp", "lark", "lmdb", "matplotlib", "numpy", "pysyncobj", "ray", "yaml"} | {
    "actors.detectors",
    "actors.engine.engine",
    "actors.engine.language",
    "actors.shard.shard",
    "actors.store.store",
    "config.load",
}
"""What only those need who work on rows or read job files."""


def loaded(modules: str, unwanted: set[str]) -> str:
    code = f"import sys, {modules}; print(sorted({unwanted} & {{*sys.modules}}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "modules",
    ["cluster.cli", "cluster.client.client", "cluster.show.status", "cluster.show.nodes", "cluster.commands.jobs"],
)
def test_what_asks_a_cluster_loads_nothing_slow(modules: str) -> None:
    assert loaded(modules, SLOW) == "[]\n"


def test_what_shows_anomalies_loads_nothing_that_finds_them() -> None:
    modules = "actors.partition.anomaly_table, cluster.show.anomaly_export, cluster.show.present, config.settings"
    assert loaded(f"cluster.cli, cluster.client.client, {modules}", WORKING) == "[]\n"
