"""What a node is told when it starts: a file in its directory, written by `tocsin up` and `tocsin join`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from actors.files import make_directory, replace_file
from cluster.errors import ClusterError
from cluster.local.home import Home
from cluster.node.guest_plan import GuestPlan
from raft import shapes

SETTINGS_NAME = "node.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """One node."""

    name: str
    """Name of the node and of its member, unique in the group."""

    group_id: int
    """Id of the group, above 1."""

    home: str
    """Directory in which the machine keeps jobs and streams."""

    address: str
    """host:port of its control server."""

    raft_address: str
    """host:port at which its member takes part in Raft."""

    members: Mapping[str, str]
    """Raft address of each member the group begins with, by name; of the present ones, for a node that joins."""

    carries_ray: bool
    """Whether it starts Ray on its machine; a node that does not needs another one on its machine that does."""

    votes: bool = True
    """Whether its member votes; otherwise the node sees the group through those that do."""

    seed: str = ""
    """Control address of a node of the group that this one joins; empty for those the group begins with."""

    ray_address: str = ""
    """host:port of the head of a Ray that others have started and this node uses; empty for one of our own."""

    spread: GuestPlan | None = None
    """How the cluster is spread over that Ray; `None` when it stays on the machine where it was started."""

    cpu_count: int = 0
    """CPUs that Ray may give out to others than us; ours take none."""

    object_store_bytes: int = 400 << 20
    """Shared memory for batches on their way."""

    dashboard_port: int = 0
    """Port of Ray's server for jobs and pages while this node carries Ray's head; 0 for none."""

    allowed_paths: str = ""
    """Folders that jobs may touch on this machine, between colons; empty means everything."""

    mark: str = ""
    """What all processes of this cluster on this machine carry in their environment: a directory for Ray's own."""

    @property
    def host(self) -> str:
        """Address of the machine."""
        return self.address.rpartition(":")[0]

    def write(self, directory: Path) -> None:
        """Write the file."""
        make_directory(directory)
        replace_file(directory / SETTINGS_NAME, json.dumps(asdict(self), indent=2).encode())

    @classmethod
    def read(cls, directory: Path) -> "NodeSettings":
        """Read the file.

        Raises:
            ClusterError: there is none, or it holds something else.
        """
        path = directory / SETTINGS_NAME
        try:
            fields = json.loads(path.read_bytes())
            if isinstance(fields, dict) and fields.get("spread") is not None:
                fields = {**fields, "spread": shapes.record(GuestPlan, fields["spread"])}
            return shapes.record(cls, fields)
        except (OSError, ValueError) as error:
            raise ClusterError(f"{path} cannot be read ({error}); run `tocsin up` or `tocsin join` again") from error


def find_settings(home: Home) -> Path:
    """Return the directory of the only node of a home.

    Raises:
        ClusterError: there is none, or several.
    """
    found = sorted(home.directory.glob(f"group-*/*/{SETTINGS_NAME}"))
    if len(found) != 1:
        names = ", ".join(path.parent.name for path in found) or "none"
        raise ClusterError(
            f"{home.directory} has not one node but {names}; `tocsin up --node-address` or `tocsin join` make one"
        )
    return found[0].parent
