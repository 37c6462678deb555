"""What a source that stands before another one passes on as it is."""

from actors.model import Schema
from actors.source.protocol import Source, SplitInfo


class WrappedSource:
    """All of a source but how it is read; who derives from it says that, and what else is different."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def schema(self) -> Schema:
        """Columns of the rows."""
        return self._source.schema

    def splits(self) -> tuple[SplitInfo, ...]:
        """Return the splits of the source."""
        return self._source.splits()

    def earliest_offset(self, split: int) -> int:
        """Return the first offset that the source still has."""
        return self._source.earliest_offset(split)

    def remarks(self) -> tuple[str, ...]:
        """Return what the source has to say."""
        return self._source.remarks()

    def close(self) -> None:
        """Close the source."""
        self._source.close()
