"""The home: the directory in which one Tocsin cluster of this machine keeps everything.

::

    cluster.json                     what runs here (see `ClusterRecord`); written when the cluster is up
    ray-token                        the secret that Ray's processes show each other
    head.log                         output of the head process
    group-<id>/members.json          addresses of the group's members
    group-<id>/<member>/             raft directory and snapshot store of one member
    jobs/<job>/partitions/<number>/  one shard
    streams/<name>/                  one embedded stream table
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.errors import NotRunningError

HOME_VARIABLE = "TOCSIN_HOME"
"""Environment variable that names the home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """What is needed to talk to a running cluster, and to end it."""

    ray_address: str
    """host:port of Ray's control store."""

    dashboard_address: str | None
    """http address that takes Ray jobs, or `None` when the cluster was started without."""

    head_pid: int
    """Process that ends the cluster when it is told to stop."""

    head_started: float
    """Start time of that process, so that a reused pid is not taken for it; seconds since the epoch."""

    ray_directory: str
    """Where Ray keeps its logs and sockets; a short path, because socket names are limited."""

    group_id: int
    """Id of the Raft group."""

    member_addresses: Mapping[str, str]
    """host:port of each member, by its id."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the home directory; nothing is made before it is needed."""

    directory: Path
    """The home itself, absolute."""

    @classmethod
    def find(cls, directory: str | None = None) -> "Home":
        """Return the home that was asked for, else the one of `TOCSIN_HOME`, else `~/.tocsin`."""
        chosen = directory or os.environ.get(HOME_VARIABLE) or str(Path.home() / ".tocsin")
        return cls(Path(chosen).expanduser().absolute())

    @property
    def record_path(self) -> Path:
        """File that says what runs here."""
        return self.directory / "cluster.json"

    @property
    def token_path(self) -> Path:
        """File with Ray's secret."""
        return self.directory / "ray-token"

    @property
    def log_path(self) -> Path:
        """Output of the head process."""
        return self.directory / "head.log"

    def group_path(self, group_id: int) -> Path:
        """File with the addresses of a group's members."""
        return self.directory / f"group-{group_id}" / "members.json"

    def member_directory(self, group_id: int, member_id: str) -> Path:
        """Directory of one member's journal and snapshots."""
        return self.directory / f"group-{group_id}" / member_id

    def job_directory(self, job: str) -> Path:
        """Directory of everything a job keeps."""
        return self.directory / "jobs" / job

    def partitions_directory(self, job: str) -> Path:
        """Directory of a job's shards."""
        return self.job_directory(job) / "partitions"

    @property
    def streams_directory(self) -> Path:
        """Directory below which stream tables are, one folder for each."""
        return self.directory / "streams"

    def ensure_token(self) -> Path:
        """Return the path of Ray's secret, made on first use and readable by its owner only."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.token_path.exists():
            fresh = self.token_path.with_suffix(".tmp")
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_hex(32))
            fresh.replace(self.token_path)
        return self.token_path

    def write_record(self, record: ClusterRecord) -> None:
        """Say what runs here."""
        fresh = self.record_path.with_suffix(".tmp")
        fresh.write_text(json.dumps(asdict(record), indent=2))
        fresh.replace(self.record_path)

    def read_record(self) -> ClusterRecord:
        """Return what runs here.

        Raises:
            NotRunningError: nothing does.
        """
        try:
            stored: dict[str, Any] = json.loads(self.record_path.read_text())
            return ClusterRecord(**stored)
        except FileNotFoundError:
            raise NotRunningError(f"no cluster runs in {self.directory}; start one with `tocsin up`") from None
        except (ValueError, TypeError) as error:
            raise NotRunningError(f"{self.record_path} cannot be read ({error}); run `tocsin down --force`") from error

    def remove_record(self) -> None:
        """Say that nothing runs here."""
        self.record_path.unlink(missing_ok=True)
