"""The one setting of the detector `baseline`: constants that were scored together, on many series at once.

They are part of what scores mean, so a change of any of them is a new version of saved state (`state.VERSION`).
"""

from typing import Final

CONTEXT_LENGTHS: Final = (4.0, 8.0, 16.0, 36.0, 48.0, 64.0)
"""Rows over which each context averages, about."""

PATTERNS: Final = ((-1, 1, 3), (-1, 0, 2, 5), (-1, 4))
"""Contexts, by their index, that make a pattern; -1 is the value itself."""

ENTRY_COUNT: Final = 64
"""Entries of a codebook."""

KEPT_ENTRY_COUNT: Final = 56
"""Entries that are left at most of a codebook that was full."""

RADIUS_GROWTH: Final = 1.3
"""Factor of the radius of a full codebook."""

FAST_GAIN: Final = 0.3
"""Gain of the forecast that follows the last few rows."""

SLOW_GAIN: Final = 0.005
"""Gain of the forecast that follows the last hundreds of rows, and of mean errors."""

ERROR_GAIN: Final = 0.5
"""Gain of the error of the season's profile."""

PROFILE_GAIN: Final = 0.3
"""Least gain of a value of the season's profile."""

ERROR_CAP: Final = 8.0
"""Times the scale at which an error counts at most."""

ERROR_CAP_FROM: Final = 20
"""Rows before errors are capped."""

LEVEL_LENGTH: Final = 8
"""Rows of which the level is taken."""

TAIL_GAIN: Final = 0.0015
"""Least gain of the tracked quantile of each part."""

TAIL_UP: Final = 2.45
"""Step of the quantile upwards; with the one downwards the quantile is that of 98 %."""

TAIL_DOWN: Final = 0.05
"""Step of the quantile downwards."""

TAIL_GAIN_FULL: Final = 0.04
"""Gain of the quantile at which its spread would follow at once."""

TAIL_SPREAD_GAIN_MAX: Final = 0.3
"""Most gain of the spread of a tail."""

TAIL_SPREAD_START: Final = 0.35
"""Spread of a tail before anything is known, in natural logarithms."""

TAIL_SPREAD_MIN: Final = 0.1
"""Least spread of a tail."""

TAIL_EXCESS_MAX: Final = 8.0
"""Times the spread at which an excess counts at most for the spread."""

TAIL_BASE: Final = 1.699
"""Score of a part at its quantile: minus the decimal logarithm of 2 %."""

LN10: Final = 2.302585092994046
"""Natural logarithm of 10."""

FLOOR_OF_SCALE: Final = 0.05
"""Share of the scale that is added to each part, so that what differs by less is alike."""

FLOOR_OF_VALUE: Final = 1e-9
"""Share of the value that is added to each part, since no more digits are sure."""

FLOOR: Final = 1e-12
"""What is added to each part, whose logarithm is taken."""

USUAL_START: Final = 1.6
"""A key's own high quantile of scores before anything is known, and what it is mixed with."""

USUAL_UP: Final = 0.0998
"""Step upwards of a key's own high quantile of scores; with the one downwards the quantile is that of 99.8 %."""

USUAL_DOWN: Final = 0.0002
"""Step downwards."""

USUAL_SHARE: Final = 0.8
"""Share of a key's own quantile in what scores are divided by."""

QUIET_ROW_COUNT: Final = 120
"""Rows after an alarm in which only something clearly worse is one."""

WORSE: Final = 1.5
"""Times the score of the alarm before that is clearly worse."""

WARM_UP_ROW_COUNT: Final = 200
"""Rows of a key before its first alarm."""

BAND_TAIL: Final = 3.6888794541139363
"""Natural logarithm of 0.02 / 0.0005: how far beyond the quantile of the errors the band ends."""

VALUE_MAX: Final = 1e150
"""Largest amount of a value that is a row; the squares of larger ones are no numbers."""

SENSITIVITIES: Final = {"low": 1.25, "default": 1.065, "high": 0.95}
"""Scores, as they are computed, that are 1 as they are shown."""
