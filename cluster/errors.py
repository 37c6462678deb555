"""Errors of the cluster.

The tree::

    ClusterError
    ├── NotRunningError      there is no cluster, group or leader to talk to
    ├── AlreadyRunningError  a cluster of this home runs already
    ├── UnknownJobError      no job of that name
    ├── NodeAwayError        a node that alone has what is asked for does not answer, and is not waited for
    ├── NothingReadError     none of the records became a row
    ├── InputGoneError       a source no longer has what a second copy lacks
    ├── NoAnswerError        somebody did not answer in time
    │   └── SilentHostError  a host, which the message names
    └── BacktestError        a backtest that cannot be made
        └── TooManyAnomaliesError   more of them than can be compared
"""

from actors.errors import TocsinError


class ClusterError(TocsinError):
    """Root of the errors of `cluster`."""


class NotRunningError(ClusterError):
    """There is no cluster, group or leader to talk to."""


class AlreadyRunningError(ClusterError):
    """A cluster of this home runs already."""


class UnknownJobError(ClusterError):
    """The group has no job of that name."""


class NodeAwayError(ClusterError):
    """A node that alone has what is asked for has not answered for long; the message names it."""


class InputGoneError(ClusterError):
    """The source no longer has the rows that a second copy needs next."""


class NoAnswerError(ClusterError):
    """Somebody did not answer before the deadline."""


class SilentHostError(NoAnswerError):
    """A host did not answer before the deadline, or died meanwhile."""


class BacktestError(ClusterError):
    """A backtest that cannot be made of a job or an input."""


class TooManyAnomaliesError(BacktestError):
    """There are more anomalies than can be compared."""


class NothingReadError(ClusterError):
    """There were records, and none became a row."""
