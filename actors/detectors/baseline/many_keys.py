"""The next row of many keys at once: each step is one operation over all of them.

The steps, and the order of the operations within each, are those of `one_key`: the scores of a row are the same bits
whichever of the two takes it.
"""

import numpy as np

from actors.detectors.baseline import codebook, tuning
from actors.detectors.baseline import state as at
from actors.detectors.baseline.judged import Judged
from actors.detectors.baseline.state import Doubles, Ints, State


def take_rows(known: State, values: Doubles, bins: Ints, judged: Judged, rows: Ints) -> None:
    """Learn one row of each of the first keys of a state and put what is found into `judged` at `rows`.

    `values`, `bins` (the place in the season; not looked at without one) and `rows` have one value for each key.
    """
    numbers = known.numbers[:, : len(values)]
    numbers[at.ROWS] += 1.0
    own_gain = 1.0 / numbers[at.ROWS]
    distances = _distances(known, numbers, values, own_gain)
    errors, slow_error, scale = _forecast(known, numbers, values, bins, own_gain)
    best = numbers[at.MEAN_ERROR : at.MEAN_ERROR + len(errors)].argmin(axis=0)
    _follow_errors(numbers, errors, scale, own_gain)
    level = _level(numbers, slow_error)
    error = np.take_along_axis(errors, best[None, :], axis=0)[0]
    parts = np.empty((at.PART_COUNT, len(values)))
    parts[0], parts[1], parts[2:] = np.abs(error), np.abs(level), distances
    scale = numbers[at.MEAN_ERROR + at.SLOW_CANDIDATE]
    floor = tuning.FLOOR_OF_SCALE * scale + tuning.FLOOR_OF_VALUE * np.abs(values) + tuning.FLOOR
    judged.expected[rows] = values - error
    judged.level[rows] = level
    _judge(numbers, np.log(parts + floor), own_gain, judged, rows)


def _distances(known: State, numbers: Doubles, values: Doubles, own_gain: Doubles) -> Doubles:
    """Return how far the pattern of each codebook is from its nearest entry, and learn those that are far."""
    contexts = numbers[at.CONTEXT : at.RING]
    for context, length in zip(contexts, tuning.CONTEXT_LENGTHS, strict=True):
        context += np.maximum(1.0 / length, own_gain) * (values - context)
    found = np.empty((len(tuning.PATTERNS), len(values)))
    for number, places in enumerate(tuning.PATTERNS):
        pattern = np.stack([values if place < 0 else contexts[place] for place in places])
        entries = known.entries[number][:, :, : len(values)]
        nearest = codebook.nearest(entries, pattern)
        counts, radii = known.entry_counts[number], known.radii[number]
        is_first = counts[: len(values)] == 0
        found[number] = np.where(is_first, 0.0, nearest)
        is_new = is_first | (nearest > radii[: len(values)])
        codebook.learn_many(entries, counts, radii, pattern, np.flatnonzero(is_new))
    return found


def _forecast(
    known: State, numbers: Doubles, values: Doubles, bins: Ints, own_gain: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """Return the error of each candidate, that of the slow forecast, and the scale; all of them learn the values."""
    is_first = numbers[at.ROWS] == 1.0
    for number in (at.LAST, at.FAST, at.SLOW):
        numbers[number] = np.where(is_first, values, numbers[number])
    last, fast, slow = numbers[at.LAST : at.SLOW + 1]
    scale = numbers[at.MEAN_ERROR + at.SLOW_CANDIDATE].copy()
    slow_gain = np.maximum(tuning.SLOW_GAIN, own_gain)
    errors = [values - last, values - fast, values - slow]
    slow_error = errors[at.SLOW_CANDIDATE]
    if known.bin_count:
        keys = np.arange(len(values))
        visits = known.visits[bins, keys]
        profile = np.where(visits > 0.0, known.profile[bins, keys], slow)
        error = values - profile
        errors.append(values - (profile + numbers[at.ERROR_FAST]))
        has_better_profile = numbers[at.MEAN_ERROR + at.PROFILE_CANDIDATE] < scale
        slow_error = np.where(has_better_profile, values - (profile + numbers[at.ERROR_SLOW]), slow_error)
        numbers[at.ERROR_FAST] += tuning.ERROR_GAIN * (error - numbers[at.ERROR_FAST])
        numbers[at.ERROR_SLOW] += slow_gain * (error - numbers[at.ERROR_SLOW])
        known.profile[bins, keys] = profile + np.maximum(tuning.PROFILE_GAIN, 1.0 / (visits + 1.0)) * error
        known.visits[bins, keys] = visits + 1.0
    last[:] = values
    fast += np.maximum(tuning.FAST_GAIN, own_gain) * (values - fast)
    slow += slow_gain * (values - slow)
    return np.stack(errors), slow_error, scale


def _follow_errors(numbers: Doubles, errors: Doubles, scale: Doubles, own_gain: Doubles) -> None:
    """Let the mean error of each candidate learn how far it was from the value."""
    cap = np.where(numbers[at.ROWS] > tuning.ERROR_CAP_FROM, tuning.ERROR_CAP * scale, np.inf)
    means = numbers[at.MEAN_ERROR : at.MEAN_ERROR + len(errors)]
    means += np.maximum(tuning.SLOW_GAIN, own_gain) * (np.minimum(np.abs(errors), cap) - means)


def _level(numbers: Doubles, slow_error: Doubles) -> Doubles:
    """Return the mean of the last rows' distances from the slow forecast."""
    places = at.RING + (numbers[at.ROWS] - 1.0).astype(np.int64) % tuning.LEVEL_LENGTH
    numbers[places, np.arange(len(slow_error))] = slow_error
    total: Doubles = numbers[at.RING].copy()
    for one in numbers[at.RING + 1 : at.QUANTILE]:
        total += one
    total /= np.minimum(numbers[at.ROWS], tuning.LEVEL_LENGTH)
    return total


def _judge(numbers: Doubles, logarithms: Doubles, own_gain: Doubles, judged: Judged, rows: Ints) -> None:
    """Compare each part with its own tail, and their mean with what is usual for the key."""
    quantiles, spreads = numbers[at.QUANTILE : at.SPREAD], numbers[at.SPREAD : at.NUMBER_COUNT]
    quantiles[:] = np.where(numbers[at.ROWS] == 1.0, logarithms, quantiles)
    judged.reach[rows] = quantiles[0] + tuning.BAND_TAIL * spreads[0]
    gain = np.maximum(tuning.TAIL_GAIN, 2.0 * own_gain)
    excess = logarithms - quantiles
    is_beyond = excess > 0.0
    scores = np.where(is_beyond, tuning.TAIL_BASE + excess / (tuning.LN10 * spreads), 0.0)
    spread_gain = np.minimum(gain / tuning.TAIL_GAIN_FULL, tuning.TAIL_SPREAD_GAIN_MAX)
    counted = np.minimum(excess, tuning.TAIL_EXCESS_MAX * spreads)
    wider = np.maximum(tuning.TAIL_SPREAD_MIN, spreads + spread_gain * (counted - spreads))
    spreads[:] = np.where(is_beyond, wider, spreads)
    quantiles += np.where(is_beyond, tuning.TAIL_UP * gain, -tuning.TAIL_DOWN * gain)
    roots = np.sqrt(scores)
    mean = roots[1].copy()
    for root in roots[2:]:
        mean += root
    mean /= at.PART_COUNT - 1
    score, usual = mean * mean, numbers[at.USUAL]
    judged.parts[:, rows] = scores
    judged.scores[rows] = score / (tuning.USUAL_SHARE * usual + (1.0 - tuning.USUAL_SHARE) * tuning.USUAL_START)
    usual += np.where(score > usual, tuning.USUAL_UP, -tuning.USUAL_DOWN)
