"""Measure the engine beside other systems in the same run, on the trades of `bench_engine.py` with its tumbling rules.

Every system finds the same anomalies, or the run stops. Rounds are interleaved; printed are medians in million rows per
CPU second (children included, imports and set-up excluded) and how many times better the engine is. The peers are
installed into a virtual environment of their own by `--install-peers`; one that is missing is left out and named. Flink
needs Java and about a minute: it runs only with `--flink`, and is the difference of a run and a tenth of it.

    python scripts/bench_engine_peers.py --install-peers [--flink] [--keys 10 1000 100000] [--rows 200000]
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
from bench_engine import (
    WINDOW,
    cpu_seconds,
    engine_for,
    feed,
    plain_loop,
    sum_limit,
    trades,
    tumbling_metrics,
    whole_polars,
)

PACKAGES = {
    "duckdb": "duckdb==2.0.0",
    "bytewax": "bytewax==0.21.1",
    "csp": "csp==0.19.1",
    "river": "river==0.26.1",
    "flink": "apache-flink==2.3.0",
}
"""Peers and what installs them."""

FLINK_ROWS_MAX = 20_000
"""Rows that Flink is given: it takes more than a millisecond for each."""

BATCH_ROWS = 10_000


def environment(install: bool, names: list[str]) -> Path:
    """Return the Python of the peers' environment, made and filled if wanted."""
    home = Path(tempfile.gettempdir()) / "bench-engine-peers"
    python = home / "bin" / "python"
    if install:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        for name in names:
            wanted = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGES[name]]
            if subprocess.run(wanted, check=False).returncode:
                print(f"{name} cannot be installed here")
    return python


def peer_seconds(python: Path, name: str, path: Path, limit: int) -> tuple[float, int]:
    """Return CPU seconds and number of anomalies of a peer.

    Raises:
        RuntimeError: it failed; the message is the end of what it printed.
    """
    script = Path(__file__).parent / "engine_peers.py"
    done = subprocess.run(
        [str(python), str(script), name, str(path), str(limit)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return answer["cpu_s"], answer["anomalies"]


def own_seconds(name: str, data: pl.DataFrame, key_count: int) -> tuple[float, int]:
    """Return CPU seconds and number of anomalies of a side that runs in this process."""
    limit, found = sum_limit(key_count), 0

    def run() -> None:
        nonlocal found
        if name == "tocsin":
            found = feed(engine_for(tumbling_metrics(key_count), WINDOW, WINDOW), data, BATCH_ROWS)
        elif name == "plain Python loop":
            found = plain_loop(rows, limit)
        else:
            found = whole_polars(data, limit)

    rows = data.rows()
    return cpu_seconds(run), found


def flink_rate(python: Path, data: pl.DataFrame, limit: int, folder: Path) -> float:
    """Return million rows per CPU second between a tenth of the rows and all of them, which leaves out its start."""
    data = data[:FLINK_ROWS_MAX]
    seconds = []
    for part in (data, data[: data.height // 10]):
        path = folder / f"{part.height}.csv"
        part.write_csv(path, include_header=False)
        taken, found = peer_seconds(python, "flink", path, limit)
        check_equal("flink", found, plain_loop(part.rows(), limit))
        seconds.append(taken)
    return 0.9 * data.height / (seconds[0] - seconds[1]) / 1e6


def check_equal(name: str, found: int, expected: int) -> None:
    """Stop if a system has found another number of anomalies than the plain loop."""
    if found != expected:
        raise SystemExit(f"{name} found {found} anomalies, the plain loop {expected}; they must agree")


def measure(python: Path, key_count: int, options: argparse.Namespace, folder: Path) -> None:
    """Print the table of one number of keys."""
    data, limit = trades(options.rows, key_count), sum_limit(key_count)
    path = folder / "rows.csv"
    data.write_csv(path, include_header=False)
    expected = plain_loop(data.rows(), limit)
    rates: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    peers = [name for name in PACKAGES if name != "flink"]
    for _ in range(options.rounds):
        for name in ("tocsin", "plain Python loop", "polars", *peers):
            if name in missing:
                continue
            try:
                own = name not in peers
                taken, found = own_seconds(name, data, key_count) if own else peer_seconds(python, name, path, limit)
            except (RuntimeError, OSError) as error:
                missing[name] = str(error)
                continue
            check_equal(name, found, expected)
            rates.setdefault(name, []).append(data.height / taken / 1e6)
    if options.flink:
        try:
            rates["flink"] = [flink_rate(python, data, limit, folder)]
        except (RuntimeError, OSError) as error:
            missing["flink"] = str(error)
    show(key_count, options, rates, missing)


def show(key_count: int, options: argparse.Namespace, rates: dict[str, list[float]], missing: dict[str, str]) -> None:
    """Print rates and ratios."""
    print(f"\n{key_count} keys, {options.rows} rows (million rows per CPU second)")
    notes = {
        "tocsin": f"batches of {BATCH_ROWS}",
        "polars": "all rows at once, no stream",
        "duckdb": "all rows at once, no stream",
        "flink": f"Python process function, {FLINK_ROWS_MAX} rows",
    }
    base = statistics.median(rates["tocsin"])
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"  {name:20}{rate:9.4f}   engine is {base / rate:8.2f} times as fast   {notes.get(name, '')}".rstrip())
    for name, reason in missing.items():
        print(f"  {name:20} not measured: {reason}")


def main() -> None:
    """Run the comparison that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install-peers", action="store_true", help="install them into an environment of their own")
    parser.add_argument("--flink", action="store_true", help="Flink too")
    parser.add_argument("--keys", type=int, nargs="+", default=[10, 1_000, 100_000])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.flink and shutil.which("java") is None:
        parser.error("--flink needs Java (11 or later) on the PATH")
    python = environment(options.install_peers, [name for name in PACKAGES if name != "flink" or options.flink])
    with tempfile.TemporaryDirectory() as folder:
        for key_count in options.keys:
            measure(python, key_count, options, Path(folder))


if __name__ == "__main__":
    main()
