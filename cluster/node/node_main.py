"""The entry point of a node process: the directory of the node is its argument."""

import logging
import os
import resource
import signal
import sys
from pathlib import Path

from actors.errors import TocsinError
from cluster.allowed import allowed_environment
from cluster.local.home import Home
from cluster.node.log import begin_log
from cluster.node.ray_environment import address_environment, ray_environment
from cluster.node.ray_tls import tls_environment
from cluster.node.settings import NodeSettings
from cluster.node.supervise import CANNOT_RUN
from raft.errors import RaftError

log = logging.getLogger(__name__)


def run_node(directory: Path) -> None:
    """Run the node of a directory until a signal ends it; exit with `CANNOT_RUN` when it would fail again as it is."""
    begin_log()
    keep_compiled()
    _allow_many_files()
    # Inherited by all that is started from here: what they make is their owner's alone.
    os.umask(0o077)
    try:
        settings = NodeSettings.read(directory)
        home = Home(Path(settings.home))
        os.environ.update(allowed_environment(settings.allowed_paths))
        if not settings.ray_address:
            # A Ray that others have started is reached as they say, by the environment that `tocsin up` was given.
            os.environ.update({**ray_environment(home.token_path), **address_environment(settings.host)})
            os.environ.update(tls_environment(directory, settings))
        from cluster.node.node import NodeProcess

        node = NodeProcess(home, directory)
    except (TocsinError, RaftError) as error:
        log.error("the node cannot run: %s", error)
        sys.exit(CANNOT_RUN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: node.stop())
    node.run()


def keep_compiled() -> None:
    """Let all that is started from here keep what Python compiles, whatever the environment says.

    A leader's process or host that has to start in an emergency takes twice the CPU time when it compiles everything.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _allow_many_files() -> None:
    """Take as many file descriptors as the system gives, so that strangers who connect leave some for the member."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    run_node(Path(sys.argv[1]))
