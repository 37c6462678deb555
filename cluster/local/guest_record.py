"""What a home knows of a cluster that was begun from it on machines of a Ray which others have started."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from actors.files import replace_file
from cluster.errors import ClusterError
from cluster.local.home import Home
from cluster.node.guest_plan import GuestPlan
from raft import shapes

NAME: Final = "guests.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestRecord:
    """What is needed to talk to such a cluster, and to end it."""

    ray_address: str
    """Where that Ray is reached from here."""

    plan: GuestPlan
    """How the cluster is spread over it."""

    node_addresses: Mapping[str, str]
    """host:port of the control server of each node that was started first, by name."""

    homes: Mapping[str, str]
    """Directory of each of them on its machine, by name."""

    def write(self, home: Home) -> None:
        """Write it into a home."""
        replace_file(home.directory / NAME, json.dumps(asdict(self), indent=2).encode())

    @classmethod
    def read(cls, home: Home) -> "GuestRecord | None":
        """Return the record of a home, or `None` when no such cluster was begun there, or it was ended.

        Raises:
            ClusterError: it cannot be read.
        """
        path = home.directory / NAME
        try:
            fields = json.loads(path.read_bytes())
            return shapes.record(cls, {**fields, "plan": shapes.record(GuestPlan, fields["plan"])})
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ClusterError(f"{path} cannot be read ({error}); restore it, or begin from another --home") from error

    @staticmethod
    def remove(home: Home) -> None:
        """Say that the cluster was ended."""
        (home.directory / NAME).unlink(missing_ok=True)
