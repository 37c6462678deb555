"""What all tiers share: command-line options, generated cases that repeat, and which tests run where.

`slow` tests run only when asked for, by `--slow` (beside the others) or `-m slow` (alone). Tests of the cluster tier
are marked `cluster` by their folder and run first, together on one worker: they wait more than they compute, so that a
second worker runs all other tests beside them, and no two clusters take each other's time.
"""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from cluster.local.speed import slowness

CLUSTER_TIER = Path(__file__).parent / "cluster"

# A default run must give the same verdict on the same commit; `explore` is for looking for new cases.
_SLOW_MACHINE = [HealthCheck.too_slow]
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=_SLOW_MACHINE)
settings.register_profile("explore", max_examples=2000, deadline=None, suppress_health_check=_SLOW_MACHINE)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Define the options of this repository."""
    group = parser.getgroup("tocsin")
    group.addoption("--slow", action="store_true", help="also run tests marked slow")
    group.addoption("--rewrite", action="store_true", help="golden tier: write the output found as the one expected")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give every test more time on a slow machine."""
    if config.getoption("timeout", None) is None and config.pluginmanager.hasplugin("timeout"):
        config.option.timeout = float(config.getini("timeout")) * slowness()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out unless asked for, and put the cluster tier first."""
    for item in items:
        if item.path.is_relative_to(CLUSTER_TIER):
            item.add_marker(pytest.mark.cluster)
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)
    if not config.getoption("--slow") and "slow" not in config.getoption("-m"):
        _deselect_slow(config, items)


def _deselect_slow(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests marked slow out of the run and count them as deselected."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a scheduler that hands out single tests, but the cluster tier as a whole.

    pytest-xdist's groups would do, were it not that its release 3.8 ignores them with pytest 9.2.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it ships no types

    class ClusterTierTogether(LoadScopeScheduling):  # type: ignore[misc]  # for the same reason
        """Work units are single tests in the order found, and all of the cluster tier."""

        def _split_scope(self, nodeid: str) -> str:
            return "cluster" if nodeid.startswith("tests/cluster/") else nodeid

    config.option.loadscopereorder = False
    return ClusterTierTogether(config, log)
