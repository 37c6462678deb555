"""A cluster of this machine ends with those who started it, and takes nothing else with it."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

SCRIPT = """
import sys, time
from pathlib import Path
from cluster.local.home import Home
from cluster.local.cluster import ClusterOptions, local_cluster, prepare_environment
home = Home(Path(sys.argv[1]))
prepare_environment(home)
with local_cluster(home, ClusterOptions(member_count=1, has_dashboard=False)) as record:
    print(record.head_pid, flush=True)
    time.sleep(600)
"""


def test_a_cluster_ends_when_its_starter_is_killed(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    starter = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    head = psutil.Process(int(starter.stdout.readline()))
    family = [head, *head.children(recursive=True)]
    assert len(family) > 3
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    eventually(lambda: not any(is_alive(process) for process in family), 60)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that only waits for its parent does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
