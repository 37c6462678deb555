"""The kind `baseline`: numbers, levels and courses that a key has not shown before, judged by the key's own history.

A value is compared with several forecasts, the mean of the last rows with the level, and three patterns of averages
over the last rows with small codebooks of what was seen. How far each is away is set against the key's own distances
so far, and the mean of that against what scores the key usually has: 1 and above is an alarm. All rows are learned.

    spec         what a job says of it
    watcher      which rows go where, and which of them are alarms
    many_keys    the next row of many keys at once
    one_key      the next rows of one key
    codebook     patterns that stand for what was seen
    season       the place of a time in its day or week
    reasons      alarms in words
    state        what is known of each key, and how it is saved
    tuning       the constants
"""

from actors.detectors.baseline.spec import BaselineSpec

__all__ = ["BaselineSpec"]
