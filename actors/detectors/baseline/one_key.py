"""The next rows of one key: what depends on the row before is computed row by row, and the rest over all rows at once.

The steps, and the order of the operations within each, are those of `many_keys`: the scores of a row are the same bits
whichever of the two takes it. Logarithms are therefore NumPy's here too.
"""

from collections.abc import Sequence

import numpy as np

from actors.detectors.baseline import codebook, tuning
from actors.detectors.baseline import state as at
from actors.detectors.baseline.judged import Judged
from actors.detectors.baseline.state import Doubles, Ints, State

BLOCK_ROW_COUNT = 256
"""Rows that are taken at once; their distances from all entries fit into the caches of a core."""


def take_rows(known: State, key: int, values: Doubles, bins: Ints, judged: Judged, rows: Ints) -> None:
    """Learn rows of the key with an index and put what is found into `judged` at `rows`."""
    for first in range(0, len(values), BLOCK_ROW_COUNT):
        block = slice(first, first + BLOCK_ROW_COUNT)
        _take_block(known, key, values[block], bins[block], judged, rows[block])


def _take_block(known: State, key: int, values: Doubles, bins: Ints, judged: Judged, rows: Ints) -> None:
    own = known.numbers[:, key]
    first_row = int(own[at.ROWS])
    given, own_gains = values.tolist(), [1.0 / (first_row + row) for row in range(1, len(values) + 1)]
    contexts = [
        _averages(own, at.CONTEXT + number, given, own_gains, 1.0 / length)
        for number, length in enumerate(tuning.CONTEXT_LENGTHS)
    ]
    errors, levels, scales = _forecast(known, key, values, bins.tolist(), own_gains)
    parts = np.empty((at.PART_COUNT, len(values)))
    parts[0], parts[1] = np.abs(errors), np.abs(levels)
    for number, places in enumerate(tuning.PATTERNS):
        pattern = np.stack([values if place < 0 else np.array(contexts[place]) for place in places])
        parts[2 + number] = _distances(known, key, number, pattern)
    floor = tuning.FLOOR_OF_SCALE * scales + tuning.FLOOR_OF_VALUE * np.abs(values) + tuning.FLOOR
    judged.expected[rows] = values - errors
    judged.level[rows] = levels
    _judge(own, np.log(parts + floor), first_row, judged, rows)
    own[at.ROWS] = first_row + len(values)


def _averages(
    own: Doubles, number: int, values: Sequence[float], own_gains: Sequence[float], usual_gain: float
) -> list[float]:
    """Return an average of the values so far at each row."""
    average, course = float(own[number]), []
    for value, gain in zip(values, own_gains, strict=True):
        average += (usual_gain if usual_gain > gain else gain) * (value - average)
        course.append(average)
    own[number] = average
    return course


def _distances(known: State, key: int, number: int, patterns: Doubles) -> Doubles:
    """Return how far each pattern is from the nearest entry before it, and learn those that are far."""
    entries = known.entries[number][:, :, key]
    count, radius = int(known.entry_counts[number, key]), float(known.radii[number, key])
    row_count = patterns.shape[1]
    squares = np.full(row_count, np.inf)
    found = np.zeros(row_count)
    done = 0
    is_fresh = True
    while done < row_count:
        if is_fresh and count:
            squares[done:] = codebook.squared_distance(entries[:, :count, None], patterns[:, None, done:]).min(axis=0)
        distances = np.sqrt(squares[done:])
        is_far = distances > radius
        if not count:
            is_far[0], distances[0] = True, 0.0
        far = int(is_far.argmax())
        if not is_far[far]:
            found[done:] = distances
            break
        found[done : done + far + 1] = distances[: far + 1]
        done += far + 1
        count_before = count
        count, radius = codebook.learn(entries, count, radius, patterns[:, done - 1])
        # Of a codebook that was full some entries are gone; otherwise only one is new.
        is_fresh = count <= count_before
        if not is_fresh:
            nearer = codebook.squared_distance(entries[:, count - 1, None], patterns[:, done:])
            np.minimum(squares[done:], nearer, out=squares[done:])
    known.entry_counts[number, key], known.radii[number, key] = count, radius
    return found


def _forecast(
    known: State, key: int, values: Doubles, bins: Sequence[int], own_gains: Sequence[float]
) -> tuple[Doubles, Doubles, Doubles]:
    """Return the error of the best candidate, the level and the scale at each row."""
    own, given = known.numbers[:, key], values.tolist()
    first_row = int(own[at.ROWS])
    starts = own[at.LAST : at.SLOW + 1].tolist() if first_row else given[:1] * 3
    fast = _averages(own, at.FAST, given, own_gains, tuning.FAST_GAIN)
    slow = _averages(own, at.SLOW, given, own_gains, tuning.SLOW_GAIN)
    own[at.LAST] = given[-1]
    befores = [[start, *course[:-1]] for start, course in zip(starts, (given, fast, slow), strict=True)]
    errors = [values - np.array(before) for before in befores]
    slow_error = errors[at.SLOW_CANDIDATE]
    means, scales = _mean_errors(own, at.MEAN_ERROR + at.SLOW_CANDIDATE, slow_error, first_row, own_gains, None)
    caps = [tuning.ERROR_CAP * mean for mean in means.tolist()]
    if known.bin_count:
        error, from_profile = _follow_profile(known, key, given, bins, befores[at.SLOW_CANDIDATE], own_gains)
        errors.append(error)
    found = [
        means
        if number == at.SLOW_CANDIDATE
        else _mean_errors(own, at.MEAN_ERROR + number, errors[number], first_row, own_gains, caps)[0]
        for number in range(len(errors))
    ]
    if known.bin_count:
        slow_error = np.where(found[at.PROFILE_CANDIDATE] < means, from_profile, slow_error)
    best = np.take_along_axis(np.stack(errors), np.stack(found).argmin(axis=0)[None, :], axis=0)[0]
    return best, _levels(own, slow_error, first_row), scales


def _mean_errors(
    own: Doubles,
    number: int,
    errors: Doubles,
    first_row: int,
    own_gains: Sequence[float],
    caps: Sequence[float] | None,
) -> tuple[Doubles, Doubles]:
    """Return the mean error of a candidate before and after each row; without caps, its own mean makes them."""
    mean, usual_gain = float(own[number]), tuning.SLOW_GAIN
    course = [mean]
    for place, (error, gain) in enumerate(zip(np.abs(errors).tolist(), own_gains, strict=True)):
        if first_row + place >= tuning.ERROR_CAP_FROM:
            cap = tuning.ERROR_CAP * mean if caps is None else caps[place]
            if error > cap:
                error = cap
        mean += (usual_gain if usual_gain > gain else gain) * (error - mean)
        course.append(mean)
    own[number] = mean
    return np.array(course[:-1]), np.array(course[1:])


def _follow_profile(
    known: State,
    key: int,
    values: Sequence[float],
    bins: Sequence[int],
    slow: Sequence[float],
    own_gains: Sequence[float],
) -> tuple[Doubles, Doubles]:
    """Return how far each value is from what the profile says, corrected by its last errors, and by many of them."""
    own = known.numbers[:, key]
    error_fast, error_slow = own[at.ERROR_FAST : at.ERROR_SLOW + 1].tolist()
    profile, visits = known.profile[:, key].tolist(), known.visits[:, key].tolist()
    slow_gain, error_gain, profile_gain = tuning.SLOW_GAIN, tuning.ERROR_GAIN, tuning.PROFILE_GAIN
    from_last, from_many = [], []
    for value, place, instead, gain in zip(values, bins, slow, own_gains, strict=True):
        usual = profile[place] if visits[place] > 0.0 else instead
        error = value - usual
        from_last.append(value - (usual + error_fast))
        from_many.append(value - (usual + error_slow))
        error_fast += error_gain * (error - error_fast)
        error_slow += (slow_gain if slow_gain > gain else gain) * (error - error_slow)
        visit_gain = 1.0 / (visits[place] + 1.0)
        profile[place] = usual + (profile_gain if profile_gain > visit_gain else visit_gain) * error
        visits[place] += 1.0
    own[at.ERROR_FAST : at.ERROR_SLOW + 1] = error_fast, error_slow
    known.profile[:, key], known.visits[:, key] = profile, visits
    return np.array(from_last), np.array(from_many)


def _levels(own: Doubles, slow_errors: Doubles, first_row: int) -> Doubles:
    """Return the mean of the last rows' distances from the slow forecast at each row.

    A row has its place in a ring, and sums go through the places of the ring.
    """
    length = tuning.LEVEL_LENGTH
    rows = np.arange(first_row, first_row + len(slow_errors))
    # What the ring had stands before, in the order of the rows.
    before = np.roll(own[at.RING : at.QUANTILE], -(first_row % length))
    course = np.concatenate((before, slow_errors))
    total: Doubles = course[(rows // length * length) - first_row + length]
    for place in range(1, length):
        latest = rows - (rows - place) % length
        total = total + course[latest - first_row + length]
    own[at.RING : at.QUANTILE] = np.roll(course[-length:], (first_row + len(rows)) % length)
    total /= np.minimum(rows + 1.0, length)
    return total


def _judge(own: Doubles, logarithms: Doubles, first_row: int, judged: Judged, rows: Ints) -> None:
    """Compare each part with its own tail, and their mean with what is usual for the key."""
    scores = np.empty(logarithms.shape)
    for part in range(at.PART_COUNT):
        course, reach = _follow_tail(own, part, logarithms[part].tolist(), first_row, has_reach=part == 0)
        scores[part] = course
        if part == 0:
            judged.reach[rows] = reach
    roots = np.sqrt(scores)
    means = roots[1].copy()
    for root in roots[2:]:
        means += root
    means /= at.PART_COUNT - 1
    usual = float(own[at.USUAL])
    courses = []
    for score in (means * means).tolist():
        courses.append(score / (tuning.USUAL_SHARE * usual + (1.0 - tuning.USUAL_SHARE) * tuning.USUAL_START))
        usual += tuning.USUAL_UP if score > usual else -tuning.USUAL_DOWN
    own[at.USUAL] = usual
    judged.parts[:, rows] = scores
    judged.scores[rows] = courses


def _follow_tail(
    own: Doubles, part: int, logarithms: Sequence[float], first_row: int, *, has_reach: bool
) -> tuple[list[float], list[float]]:
    """Return the score of one part at each row, and how far the band reaches, if that is asked for."""
    quantile, spread = float(own[at.QUANTILE + part]), float(own[at.SPREAD + part])
    least_gain, up, down = tuning.TAIL_GAIN, tuning.TAIL_UP, -tuning.TAIL_DOWN
    scores, reach = [], []
    if not first_row:
        quantile = logarithms[0]
    row = first_row
    for logarithm in logarithms:
        row += 1
        gain = 2.0 * (1.0 / row)
        if gain < least_gain:
            gain = least_gain
        if has_reach:
            reach.append(quantile + tuning.BAND_TAIL * spread)
        excess = logarithm - quantile
        if excess > 0.0:
            scores.append(tuning.TAIL_BASE + excess / (tuning.LN10 * spread))
            spread_gain = min(gain / tuning.TAIL_GAIN_FULL, tuning.TAIL_SPREAD_GAIN_MAX)
            counted = min(excess, tuning.TAIL_EXCESS_MAX * spread)
            spread = max(tuning.TAIL_SPREAD_MIN, spread + spread_gain * (counted - spread))
            quantile += up * gain
        else:
            scores.append(0.0)
            quantile += down * gain
    own[at.QUANTILE + part], own[at.SPREAD + part] = quantile, spread
    return scores, reach
