"""The group as those see it who run jobs for its leader."""

from typing import Protocol

from raft.commands import Command
from raft.group import GroupState


class GroupPort(Protocol):
    """The group as runners and checkpoints see it."""

    @property
    def group_id(self) -> int:
        """Id of the group."""
        ...

    @property
    def member_ids(self) -> tuple[str, ...]:
        """Names of all members."""
        ...

    def state(self) -> GroupState:
        """Return the state applied here."""
        ...

    def propose(self, command: Command) -> None:
        """Have a command accepted.

        Raises:
            ClusterError: it was refused, or not answered.
        """
        ...
