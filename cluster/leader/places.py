"""Places: which node has each host of one job, and which generation each partition's shard has, as a leader acts on it.

Only this leader's own proposals change them while its epoch lasts, but for one thing: a node may be lost. Then the
group's generations grow beyond these, and what was planned on them is over.
"""

from collections.abc import Mapping

from raft.group import Job


class Places:
    """Places of one job in one attempt to run it."""

    def __init__(self, job: Job) -> None:
        self._host_nodes = dict(job.host_nodes)
        self._generations = dict(enumerate(job.generations))
        self._expected: dict[int, int] = {}

    @property
    def host_nodes(self) -> dict[str, str]:
        """Node of each host that has one."""
        return dict(self._host_nodes)

    @property
    def generations(self) -> dict[int, int]:
        """Generation of each partition's shard."""
        return dict(self._generations)

    def node_of(self, host: str) -> str:
        """Return a host's node; empty when it may run anywhere."""
        return self._host_nodes.get(host, "")

    def is_near(self, host: str, other: str) -> bool:
        """Whether two hosts use the same files."""
        return self.node_of(host) == self.node_of(other)

    def pin(self, host_nodes: Mapping[str, str]) -> None:
        """Know that hosts have these nodes."""
        self._host_nodes |= host_nodes

    def expect(self, partition: int, generation: int) -> None:
        """Know that a shard is about to have this generation, which was proposed."""
        self._expected[partition] = generation

    def reach(self, partition: int, generation: int) -> None:
        """Know that a shard has this generation."""
        self._expected.pop(partition, None)
        self._generations[partition] = generation

    def overtaken(self, job: Job) -> list[int]:
        """Return the partitions whose shard is another one by now, as the group knows the job."""
        known = self._generations | self._expected
        return [partition for partition, generation in enumerate(job.generations) if generation > known[partition]]

    def validate(self) -> None:
        """Assert every invariant."""
        assert all(generation > self._generations[number] for number, generation in self._expected.items())
