"""The command `tocsin`: parse, call one function, print.

Results go to the standard output, everything else to the standard error. Exit codes: 0 fine, 1 the answer is no,
2 an expected error. Ray is imported only by the commands that need it, after its environment is set.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import click

from actors.errors import TocsinError
from cluster.commands import backtests, clusters, databases, job_files, jobs, learn, members, queries, silences
from cluster.commands.target import chosen_target
from cluster.commands.terminal import say
from cluster.local.environment import prepare_environment
from raft.errors import RaftError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--home", "directory", metavar="DIR", help="Where the cluster keeps everything (default: ~/.tocsin).")
@click.option(
    "--address",
    envvar="TOCSIN_ADDRESS",
    metavar="HOST:PORT",
    help="Ask the cluster of this node instead of a home's (several: with commas); needs --password-file.",
)
@click.option(
    "--password-file",
    envvar="TOCSIN_PASSWORD_FILE",
    type=click.Path(path_type=Path),
    help="File with the password of the cluster at --address, readable by its owner alone.",
)
@click.option("--group", "group_id", default=2, show_default=True, help="Id of the Raft group of that cluster.")
@click.version_option(package_name="tocsin", message="tocsin %(version)s")
@click.pass_context
def cli(context: click.Context, /, directory: str | None, **options: Any) -> None:
    """Watch keyed event streams, raise anomalies, remember events, survive crashes."""
    context.obj = target = chosen_target(context, directory, options)
    # Before any command imports Ray, which reads its environment then.
    prepare_environment(target.home)


for _command in (
    job_files.check,
    job_files.run,
    backtests.backtest,
    clusters.up,
    clusters.join,
    clusters.leave,
    clusters.nodes,
    clusters.node,
    members.member,
    clusters.down,
    clusters.demo,
    clusters.chaos,
    jobs.submit,
    jobs.jobs,
    jobs.status,
    jobs.top,
    jobs.scale,
    jobs.stop,
    jobs.resume,
    jobs.remove,
    jobs.attach,
    queries.query,
    queries.explain,
    databases.db,
    learn.learn,
    silences.silence,
):
    cli.add_command(_command)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Why an output cannot be written any more."""


def main() -> None:
    """Run the command line; expected errors become one message and exit code 2."""
    try:
        cli(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        say("interrupted")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (TocsinError, RaftError) as error:
        say(f"error: {error}")
        sys.exit(2)
    except OSError as error:
        if error.errno in (errno.EPIPE, *_FULL) and error.filename is None:
            # What is left in the buffer goes nowhere, so that the end of the process does not fail as well.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if error.errno == errno.EPIPE:
                sys.exit(0)
            say(f"error: the output cannot be written: {error.strerror}; free space, or write it elsewhere")
            sys.exit(2)
        if error.filename is None:
            raise
        say(f"error: {error.filename}: {error.strerror}; name another place, or make this one usable")
        sys.exit(2)
