"""The home: the directory in which one Tocsin cluster of this machine keeps everything.

::

    cluster.json                     what runs here (see `ClusterRecord`); written before nodes start
    cluster.lock                     locked by who starts or ends the cluster
    ray-token                        the secret that Ray's processes show each other
    password                         the secret of the group, by which its nodes and clients prove themselves
    supervisor.log                   output of the supervisor
    group-<id>/members.json          addresses of the group's members
    group-<id>/<node>/               one node: its settings, logs, raft directory and snapshot store
    jobs/<job>/partitions/<number>/  one shard
    streams/<name>/                  one embedded stream table

Everything in it is its owner's alone: directories 0700, files 0600.
"""

import hashlib
import json
import logging
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.files import FileLock, FileLockedError, make_directory, replace_file
from cluster.errors import ClusterError, NotRunningError
from raft import shapes
from raft.passwords import distrust, make_password

log = logging.getLogger(__name__)

HOME_VARIABLE = "TOCSIN_HOME"
"""Environment variable that names the home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRecord:
    """What is needed to talk to a running cluster, and to end it."""

    supervisor_pid: int
    """The supervisor: the process that ends the cluster when it is told to stop."""

    supervisor_started: float
    """Start time of that process, so that a reused pid is not taken for it; seconds since the epoch."""

    mark: str
    """Where Ray keeps its logs and sockets, and the mark of all processes; short, because names of sockets are."""

    dashboard_address: str | None
    """http address that takes Ray jobs, or `None` when the cluster was started without."""

    group_id: int
    """Id of the Raft group."""

    node_addresses: Mapping[str, str]
    """host:port of the control server of each node of this home, by name."""


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
    def password_path(self) -> Path:
        """File with the group's secret."""
        return self.directory / "password"

    @property
    def log_path(self) -> Path:
        """Output of the supervisor."""
        return self.directory / "supervisor.log"

    def group_path(self, group_id: int) -> Path:
        """File with the addresses of a group's members."""
        return self.directory / f"group-{group_id}" / "members.json"

    def member_directory(self, group_id: int, member_id: str) -> Path:
        """Directory of one node: its settings, its member's journal, its snapshots."""
        return self.directory / f"group-{group_id}" / member_id

    def job_directory(self, job: str) -> Path:
        """Directory of everything a job keeps."""
        return self.directory / "jobs" / job

    def partitions_directory(self, job: str) -> Path:
        """Directory of a job's shards."""
        return self.job_directory(job) / "partitions"

    def outgoing_directory(self, job: str) -> Path:
        """Directory of a job's snapshots on their way to the members."""
        return outgoing_directory(self.partitions_directory(job))

    @property
    def streams_directory(self) -> Path:
        """Directory below which stream tables are, one folder for each."""
        return self.directory / "streams"

    def prepare(self) -> None:
        """Make the home; what others could use in one that is there becomes its owner's alone.

        Raises:
            ClusterError: something in it belongs to another user, or a secret cannot be trusted.
        """
        self.check_secrets()
        try:
            make_directory(self.directory)
            # A home may be a link to another disk: what it leads to is the home.
            _make_private(self.directory.resolve())
        except OSError as error:
            raise ClusterError(
                f"the home {self.directory} cannot be used: {error}; choose another by --home"
            ) from error

    def ensure_secrets(self, group_id: int) -> None:
        """Make the group's secret on first use, and Ray's of it; only who has the lock may.

        All nodes of a group have the same password, so they get the same token for Ray. Every process of
        Ray has it, so it is made in a way that makes guessing the password from it dear.
        """
        if not self.password_path.exists():
            replace_file(self.password_path, make_password().encode("ascii"))
        salt = f"tocsin {group_id} ray token".encode()
        token = hashlib.scrypt(self.password_path.read_bytes().strip(), salt=salt, n=1 << 14, r=8, p=1, dklen=32)
        if not self.token_path.exists() or self.token_path.read_text() != token.hex():
            replace_file(self.token_path, token.hex().encode("ascii"))

    def check_secrets(self) -> None:
        """Refuse secrets that somebody else may know or have chosen: who knows them runs code in the cluster.

        Raises:
            ClusterError: with the way out.
        """
        for path in (self.token_path, self.password_path):
            try:
                problem = distrust(path.lstat())
            except (FileNotFoundError, NotADirectoryError):
                continue
            if problem:
                raise ClusterError(f"{path} {problem}; run `tocsin down`, remove it, and `tocsin up` makes another")

    def lock(self) -> FileLock:
        """Return the lock of who starts or ends the cluster, once nobody else has it.

        Raises:
            ClusterError: the home cannot be used.
        """
        path = self.directory / "cluster.lock"
        try:
            return FileLock.take(path)
        except FileLockedError as error:
            log.warning("waiting for another process to start or end the cluster", extra={"pid": error.owner})
            return FileLock.take(path, wait=True)
        except OSError as error:
            raise ClusterError(
                f"the home {self.directory} cannot be used: {error}; choose another by --home"
            ) from error

    def write_record(self, record: ClusterRecord) -> None:
        """Say what runs here."""
        replace_file(self.record_path, json.dumps(asdict(record), indent=2).encode())

    def stored_record(self) -> ClusterRecord | None:
        """Return what was started here and not ended, whether or not it still runs.

        Raises:
            ClusterError: the record cannot be read.
        """
        try:
            return shapes.record(ClusterRecord, json.loads(self.record_path.read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise ClusterError(
                f"{self.record_path} cannot be read ({error}); end the processes of that cluster, then remove the file"
            ) from error

    def read_record(self) -> ClusterRecord:
        """Return what was started here, and not ended by `tocsin down`; whether it answers is another question.

        Raises:
            NotRunningError: nothing was.
            ClusterError: the record cannot be read, or the secret cannot be trusted.
        """
        stored = self.stored_record()
        if stored is None:
            raise NotRunningError(f"no cluster runs in {self.directory}; start one with `tocsin up`")
        self.check_secrets()
        return stored

    def remove_record(self) -> None:
        """Say that nothing runs here."""
        self.record_path.unlink(missing_ok=True)

    def known_members(self, group_id: int) -> Mapping[str, str]:
        """Return host:port of each member of a group that has been here, by name; empty when there was none.

        Raises:
            ClusterError: the file cannot be read.
        """
        path = self.group_path(group_id)
        try:
            known: Mapping[str, str] = shapes.require(json.loads(path.read_bytes()), Mapping[str, str], "the members")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ClusterError(f"{path} cannot be read ({error}); restore it, or choose another --group") from error
        return known

    def write_members(self, group_id: int, addresses: Mapping[str, str]) -> None:
        """Remember the members of a group and their addresses."""
        make_directory(self.group_path(group_id).parent)
        replace_file(self.group_path(group_id), json.dumps(addresses).encode())


def outgoing_directory(partitions: Path) -> Path:
    """Return where the snapshots of the shards in a directory are, on their way to the members."""
    return partitions.with_name("outgoing")


def _make_private(directory: Path) -> None:
    """Take the rights of others from a directory and all that is in it."""
    places = [str(directory), *(entry for root, *names in os.walk(directory) for entry in _joined(root, names))]
    for place in places:
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            continue
        if found.st_uid != os.geteuid():
            raise ClusterError(
                f"{place} belongs to user {found.st_uid}, not to {os.geteuid()} who runs Tocsin; "
                "give it to the right one (`chown`), or choose another home by --home"
            )
        if found.st_mode & 0o077 and not stat.S_ISLNK(found.st_mode):
            os.chmod(place, stat.S_IMODE(found.st_mode) & ~0o077)


def _joined(root: str, names: list[list[str]]) -> list[str]:
    return [os.path.join(root, name) for kind in names for name in kind]
