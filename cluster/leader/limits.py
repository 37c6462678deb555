"""Limits of a leader: how long it waits, how often it looks, and how much it keeps."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderLimits:
    """Times are microseconds; what a job limits itself is in its settings.

    Only simulations and tests set others. A default is changed by a new version of Tocsin; as one leader follows
    another while members are updated, hosts and members then meet both.
    """

    reply_timeout_us: int = 60_000_000
    """A host's reply that takes longer counts as a failure; for a batch, counted from the answer to the one before."""

    send_timeout_us: int = 700_000_000
    """Time that a host has to send notifications, ten at most, of which each may take a minute to fail."""

    start_timeout_us: int = 120_000_000
    """The process of a new host has so long to start."""

    host_silence_us: int = 10_000_000
    """A host that does not even say that it is there for so long hangs: it is ended, and started again."""

    snapshot_timeout_us: int = 600_000_000
    """A host has so long to make one snapshot, which is done beside the rows and slowly."""

    snapshot_core_share: float = 1 / 12
    """Share of one core that the hosts of a node take to write snapshots while rows go on: four seconds for 100 MB."""

    store_timeout_us: int = 30_000_000
    """Members have so long to store one snapshot."""

    snapshots_on_their_way_max: int = 4
    """Snapshots of a checkpoint that are made or stored at the same time on a node: so many are in memory."""

    checkpoint_pause_factor: int = 4
    """Pause after a checkpoint, as a multiple of the time that it took: one runs for a fifth of the time at most."""

    checkpoint_pause_us_max: int = 60_000_000
    """The longest of these pauses: a checkpoint that waited long for a member that is away has cost rows little."""

    copy_timeout_us: int = 600_000_000
    """A shard has so long to get to another node."""

    node_lost_us: int = 6_500_000
    """A node that has been away for so long is lost: what it had is placed anew. It is away when it has not answered
    for 3.5 s (`PRESENT_S` of the node process), so this is ten seconds of silence."""

    idle_us: int = 10_000
    """Between two looks at a source that has nothing new."""

    yield_us_max: int = 1_000_000
    """The longest pause of an owner that reads by itself for a copy that has not been as far as it yet."""

    host_idle_us_max: int = 160_000
    """The longest pause between two looks of a host at splits of its own; it begins with `idle_us` and doubles."""

    retry_us_min: int = 50_000
    """Before something that failed is tried again; doubled with every failure in a row."""

    retry_us_max: int = 2_000_000
    """The longest pause before a job, a source or a proposal is tried again."""

    sink_retry_us_max: int = 30_000_000
    """The longest pause before anomalies are delivered again."""

    standby_again_max: int = 1_000_000
    """A second copy that lacks more records than this gets a copy of the shard; what less lack is read again."""

    standby_marks_us: int = 1_000_000
    """Between two times that second copies are told what sinks have: that much is delivered again after a failover."""

    standby_away_us: int = 2_000_000
    """Second copies take over from a node that has not answered for so long."""

    standby_settle_us: int = 60_000_000
    """Partitions wait so long for their second copies before they move to other nodes without them."""

    standby_catch_up_us: int = 2_000_000
    """A partition that moves to its second copy waits so long for it to have everything; then the shard is copied."""

    standby_end_us: int = 10_000_000
    """A job that ends or stops waits so long for its second copies to have everything."""

    promotion_us: int = 2_000_000
    """The host of a second copy has so long to answer when it is to take over."""

    kept_batch_factor: int = 4
    """Batches kept back for a partition that moves, as a multiple of those that a host may have waiting.

    A job changes how many by its `limits.batches_in_flight_max`; the factor is nobody's to set.
    """
