"""What a store says of itself while it is open."""

from dataclasses import dataclass

from actors.store.disk.state import SeriesState


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStat:
    """One series on disk."""

    order_by: str
    """Time that orders it."""

    patterns: tuple[tuple[str, ...], ...]
    """Patterns of its types."""

    entry_count: int
    """Events in it."""

    entry_size_bytes: float
    """Average bytes per event, as the size limit counts."""

    is_active: bool
    """Whether it is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStat:
    """How the store is."""

    pending_row_count: int
    """Events that are not on disk."""

    pending_size_bytes: int
    """About the memory that they take."""

    flush_number: int
    """Flushes that were written."""

    type_count: int
    """Distinct event types ever stored."""

    is_degraded: bool
    """Whether the last flush failed."""

    last_error: str
    """Why it failed; empty when it did not."""

    series: tuple[SeriesStat, ...]
    """The series on disk."""

    damages: tuple[str, ...] = ()
    """Blocks found damaged while opening or flushing, each with the range that is lost."""


def series_stat(series: SeriesState) -> SeriesStat:
    """Return what a series says of itself."""
    return SeriesStat(
        order_by=series.order_by,
        patterns=series.patterns,
        entry_count=series.count,
        entry_size_bytes=series.entry_size_bytes,
        is_active=series.is_active,
    )
