"""Settings of a Raft group as one member needs them, and the bytes in which they reach its process."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack

from raft.shapes import record, unpack

if TYPE_CHECKING:
    from raft.member import MemberSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """One member's view of its group."""

    group_id: int
    """Id of the group, greater than 1."""

    member_id: str
    """Name of this member."""

    member_addresses: Mapping[str, str]
    """host:port of every member, this one included, by name."""

    def to_bytes(self) -> bytes:
        """Return these settings as bytes."""
        return bytes(msgpack.packb(asdict(self)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "GroupSettings":
        """Return the settings that `to_bytes` wrote.

        Raises:
            FormatError: The bytes hold none.
        """
        return record(cls, unpack(data, "settings of a group"))

    def member_settings(self, directory: Path, password: str) -> "MemberSettings":
        """Return what Raft needs to know; the password comes from a file, since settings pass through Ray."""
        # Imported by members only: those who start a cluster need none of PySyncObj.
        from raft.credentials import Credentials
        from raft.member import MemberSettings

        return MemberSettings(
            name=self.member_id,
            addresses=dict(self.member_addresses),
            directory=directory / "raft",
            credentials=Credentials.load_or_derive(directory, f"tocsin-{self.group_id}", password),
        )
