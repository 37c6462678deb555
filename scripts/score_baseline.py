"""Write the scores that the detector `baseline` gives to series in files, for programs that judge detectors.

    python scripts/score_baseline.py FOLDER SCORES [--sensitivity default] [--season auto]

FOLDER has files of the Numenta Anomaly Benchmark below it: CSV with the columns `timestamp` and `value`. For each of
them SCORES gets a file of the same name with the columns `timestamp`, `value`, `anomaly_score`: the score of an alarm,
which is 1 or more, and 0 elsewhere. Printed: rows, alarms, and rows a second of CPU time, for each file and for all.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.detectors import BaselineSpec, make_detector  # the path is set above
from actors.model import Column, ColumnType, Schema  # the path is set above


def scored(path: Path, spec: BaselineSpec) -> pl.DataFrame:
    """Return the rows of a file with their scores."""
    frame = pl.read_csv(path)
    times = frame["timestamp"].str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ms")
    rows = pl.DataFrame({"time": times.to_physical(), "value": frame["value"].cast(pl.Float64)})
    schema = Schema((Column(name="time", type=ColumnType.TIMESTAMP), Column(name="value", type=ColumnType.DOUBLE)))
    found = make_detector(spec, schema, "time").process(rows, np.arange(len(rows)))
    scores = np.zeros(len(rows))
    scores[found["offset"].to_numpy()] = [json.loads(text)["score"] for text in found["detail"]]
    return frame.with_columns(anomaly_score=scores)


def _number_or_word(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def main() -> None:
    """Score all files."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("scores", type=Path)
    parser.add_argument("--sensitivity", default="default")
    parser.add_argument("--season", default="auto")
    arguments = parser.parse_args()
    spec = BaselineSpec(
        name="baseline",
        variables=("value",),
        sensitivity=_number_or_word(arguments.sensitivity),
        season=arguments.season,
    )
    row_count, alarm_count, total_s = 0, 0, 0.0
    for path in sorted(arguments.folder.rglob("*.csv")):
        begin_s = time.process_time()
        frame = scored(path, spec)
        took_s = time.process_time() - begin_s
        target = arguments.scores / path.relative_to(arguments.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        frame.write_csv(target)
        count = int((frame["anomaly_score"] > 0).sum())
        print(f"{path.relative_to(arguments.folder)!s:60} {len(frame):7} {count:4} {len(frame) / took_s:10,.0f} rows/s")
        row_count, alarm_count, total_s = row_count + len(frame), alarm_count + count, total_s + took_s
    print(f"{'all':60} {row_count:7} {alarm_count:4} {row_count / total_s:10,.0f} rows/s")


if __name__ == "__main__":
    main()
