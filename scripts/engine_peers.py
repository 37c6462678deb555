"""The trades rules written for other systems; `bench_engine_peers.py` runs this file in an environment of theirs.

Each system gets the rows as its users would give them and answers with the number of anomalies, which must be the
engine's. Where a system takes user code for a row, it is the same function for all. Printed is one line of JSON: CPU
seconds of this process and its children since the system has been imported and set up, rows, and anomalies.

    python scripts/engine_peers.py NAME ROWS.csv LIMIT
"""

import csv
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

WINDOW = 3_000

Row = tuple[int, str, float, int]
"""Time in milliseconds, symbol, price, quantity."""

Started = Callable[[], None]
"""To be called once, when rows are about to flow."""

State = list[Any]
"""Of one key: time, pane, sum and count of the open window, mean of the last closed one, last price."""


def test_row(state: State | None, row: Row, limit: int) -> tuple[State, int]:
    """Test the rules on one row; return the key's new state and the number of anomalies."""
    now, _, price, quantity = row
    pane, found = now // WINDOW, 0
    if state is None:
        state = [now, pane, 0, 0, None, None]
    elif now < state[0]:
        return state, 0
    elif pane != state[1]:
        state[4] = state[2] / state[3]
        found += state[2] > limit
        state[1], state[2], state[3] = pane, 0, 0
    state[0] = now
    state[2] += quantity
    state[3] += 1
    found += quantity < 4
    found += state[4] is not None and state[4] > quantity
    found += state[5] is None or price > 1.05 * state[5]
    state[5] = price
    return state, found


def run_bytewax(rows: list[Row], limit: int, started: Started) -> int:
    """A keyed, stateful step over one worker."""
    import bytewax.operators as op
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, TestingSource, run_main

    found: list[Any] = []
    flow = Dataflow("trades")
    stream = op.input("rows", flow, TestingSource(rows, batch_size=10_000))
    keyed = op.key_on("key", stream, lambda row: row[1])

    def step(state: State | None, row: Row) -> tuple[State, list[int]]:
        state, count = test_row(state, row, limit)
        return state, [1] * count

    op.output("found", op.stateful_flat_map("rules", keyed, step), TestingSink(found))
    started()
    run_main(flow)
    return len(found)


def run_csp(rows: list[Row], limit: int, started: Started) -> int:
    """A node with a dictionary of states, one tick for each row."""
    import csp
    import numpy as np
    from csp import ts

    counts = {"found": 0}

    @csp.node  # type: ignore[untyped-decorator]
    def rules(row: ts[object], limit: int, counts: dict) -> None:  # type: ignore[type-arg]
        with csp.state():
            s_states: dict[str, State] = {}
        if csp.ticked(row):
            state, count = test_row(s_states.get(row[1]), row, limit)
            s_states[row[1]] = state
            counts["found"] += count

    @csp.graph  # type: ignore[untyped-decorator]
    def trades() -> None:
        times = np.datetime64("2023-01-01", "ns") + np.arange(1, len(rows) + 1) * np.timedelta64(1, "ms")
        values = np.empty(len(rows), dtype=object)
        values[:] = rows
        rules(csp.curve(object, (times, values)), limit, counts)

    started()
    csp.run(trades, starttime=datetime(2023, 1, 1), endtime=timedelta(milliseconds=len(rows) + 1))
    return counts["found"]


def run_river(rows: list[Row], limit: int, started: Started) -> int:
    """Running statistics of the library, made anew for each window."""
    from river import stats

    states: dict[str, list[Any]] = {}
    found = 0
    started()
    for now, key, price, quantity in rows:
        pane = now // WINDOW
        state = states.get(key)
        if state is None:
            state = states[key] = [pane, stats.Sum(), stats.Count(), None, None]
        elif pane != state[0]:
            found += state[1].get() > limit
            # The library's running mean is rounded in another way and would not find the same anomalies.
            state[3] = state[1].get() / state[2].get()
            state[0], state[1], state[2] = pane, stats.Sum(), stats.Count()
        state[1].update(quantity)
        state[2].update()
        found += quantity < 4
        found += state[3] is not None and state[3] > quantity
        found += state[4] is None or price > 1.05 * state[4]
        state[4] = price
    return found


def run_duckdb(rows: list[Row], limit: int, started: Started) -> int:
    """The whole data in one query, which is no streaming."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads to 1")
    connection.execute(
        "create table trades as select column0 as time, column1 as sym, column2 as price, column3 as qty"
        f" from read_csv('{sys.argv[2]}', header = false,"
        " types = {'column0': 'bigint', 'column1': 'varchar', 'column2': 'double', 'column3': 'bigint'})"
    )
    started()
    (found,) = connection.execute(
        f"""
        with windows as (
            select sym, time // {WINDOW} as pane, sum(qty) as total, avg(qty) as mean
            from trades group by all
        ), linked as (
            select *, lag(mean) over per_key as mean_before, lead(pane) over per_key as pane_after
            from windows window per_key as (partition by sym order by pane)
        ), rows as (
            select qty, price, lag(price) over (partition by trades.sym order by time) as price_before, mean_before
            from trades join linked on trades.sym = linked.sym and time // {WINDOW} = pane
        )
        select (select count(*) from linked where pane_after is not null and total > {limit})
             + (select count_if(qty < 4) + count_if(coalesce(mean_before > qty, false))
                     + count_if(coalesce(price > 1.05 * price_before, true)) from rows)
        """
    ).fetchall()[0]
    return int(found)


def run_flink(rows: list[Row], limit: int, started: Started) -> int:
    """A keyed process function in Python on a cluster in one JVM."""
    from pyflink.common import Types
    from pyflink.datastream import KeyedProcessFunction, StreamExecutionEnvironment
    from pyflink.datastream.state import ValueStateDescriptor

    class Rules(KeyedProcessFunction):  # type: ignore[misc]
        def open(self, context: Any) -> None:
            self.state = context.get_state(ValueStateDescriptor("state", Types.PICKLED_BYTE_ARRAY()))

        def process_element(self, row: Any, context: Any) -> Any:
            state, count = test_row(self.state.value(), row, limit)
            self.state.update(state)
            for _ in range(count):
                yield 1

    # Flink's workers are started by the name `python`.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = StreamExecutionEnvironment.get_execution_environment()
    environment.set_python_executable(sys.executable)
    environment.set_parallelism(1)
    types = Types.TUPLE([Types.LONG(), Types.STRING(), Types.DOUBLE(), Types.INT()])
    stream = environment.from_collection(rows, type_info=types)
    counted = stream.key_by(lambda row: row[1], key_type=Types.STRING()).process(Rules(), output_type=Types.INT())
    started()
    with counted.execute_and_collect() as results:
        return sum(results)


SYSTEMS: dict[str, Callable[[list[Row], int, Started], int]] = {
    "bytewax": run_bytewax,
    "csp": run_csp,
    "river": run_river,
    "duckdb": run_duckdb,
    "flink": run_flink,
}


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the processes it has started, those that run still included."""
    ticks = os.sysconf("SC_CLK_TCK")
    stats, children = {}, {os.getpid()}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        stats[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:13])))
    while grown := {pid for pid, (parent, _) in stats.items() if parent in children} - children:
        children |= grown
    found = sum(stats[pid][1] for pid in children if pid in stats)
    ended = os.times()
    return found / ticks + ended.children_user + ended.children_system


def main() -> None:
    """Run one system on the rows of a file."""
    name, path, limit = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with path.open() as file:
        rows = [(int(now), key, float(price), int(quantity)) for now, key, price, quantity in csv.reader(file)]
    begun = [cpu_seconds()]
    found = SYSTEMS[name](rows, limit, lambda: begun.append(cpu_seconds()))
    print(json.dumps({"cpu_s": cpu_seconds() - begun[-1], "rows": len(rows), "anomalies": int(found)}))


if __name__ == "__main__":
    main()
