"""What all tiers share: command-line options, generated cases that repeat, and which tests run where.

`slow` tests run only when asked for, by `--slow` (beside the others) or `-m slow` (alone). Tests of the cluster tier
are marked `cluster` by their folder and run first, together on one worker: they wait more than they compute, so that
others run all other tests beside them, and no two clusters take each other's time. All files that tests write
are in memory where the system offers that: nobody cuts the power while tests run, so waiting for a disk proves nothing.
"""

import gc
import inspect
import os
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

from cluster.local.speed import slowness

CLUSTER_TIER = Path(__file__).parent / "cluster"

MEMORY = Path("/dev/shm")
"""A file system in memory, on Linux."""

ROOM_BYTES = 1 << 30
"""Bytes that must be free there, and as many in the machine's memory; a whole run needs a fraction of it."""

# A default run must give the same verdict on the same commit; `explore` is for looking for new cases.
_SLOW_MACHINE = [HealthCheck.too_slow]
_REPEATED = settings(derandomize=True, deadline=None, suppress_health_check=_SLOW_MACHINE)
settings.register_profile("repeatable", _REPEATED, max_examples=25)
settings.register_profile("at-length", _REPEATED, max_examples=400)
settings.register_profile("explore", max_examples=2000, deadline=None, suppress_health_check=_SLOW_MACHINE)
settings.load_profile("repeatable")


def _has_room(place: Path) -> bool:
    """Return whether tests may write all their files, some of which are programs, to a file system in memory."""
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    free = min(found.f_bavail * found.f_frsize, psutil.virtual_memory().available)
    return free >= ROOM_BYTES and not found.f_flag & os.ST_NOEXEC and os.access(place, os.W_OK | os.X_OK)


# Before anything makes a file. Workers and all processes that tests start inherit it; who says where, by `TMPDIR` or
# `--basetemp`, gets that.
if "TMPDIR" not in os.environ and _has_room(MEMORY):
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the options of this repository."""
    group = parser.getgroup("tocsin")
    group.addoption("--slow", action="store_true", help="also run tests marked slow")
    group.addoption("--rewrite", action="store_true", help="golden tier: write the output found as the one expected")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give every test more time on a slow machine, and more generated cases when slow tests are asked for."""
    if _wants_slow(config) and config.getoption("--hypothesis-profile") is None:
        settings.load_profile("at-length")
    if config.getoption("timeout", None) is None and config.pluginmanager.hasplugin("timeout"):
        config.option.timeout = float(config.getini("timeout")) * slowness()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out unless asked for, and put the cluster tier first."""
    for item in items:
        if item.path.is_relative_to(CLUSTER_TIER):
            item.add_marker(pytest.mark.cluster)
        own_limit = item.get_closest_marker("timeout")
        if own_limit is not None:
            item.add_marker(pytest.mark.timeout(own_limit.args[0] * slowness()), append=False)
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)
    if not _wants_slow(config):
        _deselect_slow(config, items)


def _wants_slow(config: pytest.Config) -> bool:
    """Return whether tests marked slow are asked for."""
    return bool(config.getoption("--slow")) or "slow" in config.getoption("-m").replace("not slow", "")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> pytest.Item | None:
    """Make one item of a slow test that is left out, in place of one for each of its thousands of cases.

    Who names a test in the command line finds all of its cases, so that it is told that they are slow.
    """
    config = collector.config
    is_slow = inspect.isfunction(obj) and any(mark.name == "slow" for mark in getattr(obj, "pytestmark", ()))
    if not is_slow or _wants_slow(config) or any("::" in argument for argument in config.args):
        return None
    return pytest.Function.from_parent(collector, name=name)


def pytest_collection_finish() -> None:
    """Spare the collector of garbage from looking at all modules and tests again and again."""
    gc.collect()
    gc.freeze()


def _deselect_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests marked slow out of the run and count them as deselected."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler that hands out files, but as a whole what shares something that takes long to make.

    pytest-xdist's groups would do, were it not that its release 3.8 ignores them with pytest 9.2. Single tests would be
    shared more evenly, but for each of them that ends, the scheduler looks at all that it ever handed out.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it ships no types

    class ClusterTierTogether(LoadScopeScheduling):  # type: ignore[misc]  # for the same reason
        """Work units are files in the order found; those of the simulation are several, the cluster tier is one."""

        def _split_scope(self, nodeid: str) -> str:
            # Members of a group that carries no Ray have their own processes and wait for hardly anything else.
            if nodeid.startswith("tests/cluster/") and "test_raft_members" not in nodeid:
                return "cluster"
            if nodeid.startswith(("tests/unit/test_repository_", "tests/unit/test_tocsin")):
                return "repository"
            # What the seeds of a job are compared with is made once by the worker that has them all.
            return nodeid.rpartition("-")[0] or nodeid if nodeid.startswith("tests/sim/") else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return ClusterTierTogether(config, log)
