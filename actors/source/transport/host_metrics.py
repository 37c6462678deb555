"""Host metrics: what a machine measures of itself, as rows of a stream table.

A *sample* is one row per key at one time: `cpu/0`, `memory`, `disk//home`, `network/eth0/sent`, `load`, `process/sh`.
Rates are differences to the sample before, so the first sample has none; what a machine does not measure is left out.
The clock is the caller's: a sample takes the time as an argument and is appended to a stream table, from which jobs
read, so that replaying gives the same rows.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl
import psutil

from actors.given_rows import to_frame
from actors.model import Schema
from actors.stream.table import DurableStreamTable
from config.sources import HOST_METRICS_SCHEMA

SCHEMA = Schema.from_mapping(HOST_METRICS_SCHEMA)
"""Columns: time (ms), key, kind (what is measured, such as `cpu_percent`), name (of a process) and value."""

PROCESS_KEY = "process"
"""Key of the rows of processes."""

NAME_LENGTH_MAX = 64
"""Letters of a device's or process's name that are kept."""

_VIRTUAL_DISKS = ("loop", "ram", "zram")

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_.:@+/\\-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was read from the machine at one moment; counters run since the machine started."""

    cpu_percents: Mapping[str, float] = field(default_factory=dict)
    """Processor -> use since the reading before, in percent."""

    levels: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(key, kind) -> a value that stands for itself."""

    counters: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(key, kind) -> a count that becomes a rate a second."""

    process_seconds: Mapping[tuple[int, float, str], float] = field(default_factory=dict)
    """(process id, start, name) -> processor seconds used so far."""


class ReadHost(Protocol):
    """Reads the machine."""

    def __call__(self) -> Readings:
        """Return what the machine measures now."""
        ...


class HostSampler:
    """Turns readings into samples; keeps the reading before, for the rates."""

    def __init__(
        self, read: ReadHost | None = None, *, process_count_max: int = 10, process_percent_min: float = 1.0
    ) -> None:
        self._read = read_host if read is None else read
        self._process_count_max = process_count_max
        self._process_percent_min = process_percent_min
        self._before: tuple[int, Readings] | None = None

    def sample(self, now_us: int) -> pl.DataFrame:
        """Return the rows of one sample at `now_us`, microseconds since the epoch; a canonical frame."""
        readings = self._read()
        before, self._before = self._before, (now_us, readings)
        values: dict[tuple[str, str], float] = {}
        processes: dict[str, float] = {}
        for name, percent in readings.cpu_percents.items():
            values[f"cpu/{plain_name(name)}", "cpu_percent"] = percent
        values |= {(plain_name(key), kind): value for (key, kind), value in readings.levels.items()}
        if before is not None and now_us > before[0]:
            seconds = (now_us - before[0]) / 1e6
            values |= _rates(before[1].counters, readings.counters, seconds)
            processes = self._busy_processes(before[1].process_seconds, readings.process_seconds, seconds)
        time = now_us // 1000
        rows: list[tuple[int, str, str, str | None, float]]
        rows = [(time, key, kind, None, float(value)) for (key, kind), value in sorted(values.items())]
        rows += [(time, PROCESS_KEY, "process_percent", name, percent) for name, percent in sorted(processes.items())]
        return to_frame(SCHEMA, rows)

    def _busy_processes(
        self,
        before: Mapping[tuple[int, float, str], float],
        now: Mapping[tuple[int, float, str], float],
        seconds: float,
    ) -> dict[str, float]:
        percents: dict[str, float] = {}
        for process, used in now.items():
            if process in before:
                name = plain_name(process[2])
                percents[name] = percents.get(name, 0.0) + max(used - before[process], 0.0) / seconds * 100
        busiest = sorted(percents.items(), key=lambda item: (-item[1], item[0]))[: self._process_count_max]
        return {name: percent for name, percent in busiest if percent >= self._process_percent_min}


class HostFeed:
    """Appends samples to a stream table; whoever runs it calls `feed` every `period_ms`."""

    def __init__(self, table: DurableStreamTable, sampler: HostSampler, period_ms: int) -> None:
        self.table = table
        self.period_ms = period_ms
        self._sampler = sampler

    def feed(self, now_us: int) -> int:
        """Append one sample taken at `now_us`, and return its number of rows."""
        sample = self._sampler.sample(now_us)
        self.table.append(sample)
        return sample.height


def plain_name(text: str) -> str:
    """Return a device's or process's name with letters that need no quoting, and of bounded length."""
    return _NOT_PLAIN.sub("_", text).strip("_")[:NAME_LENGTH_MAX] or "unnamed"


def read_host() -> Readings:
    """Read this machine."""
    percents = psutil.cpu_percent(percpu=True)
    return Readings(
        cpu_percents={str(number): percent for number, percent in enumerate(percents)},
        levels=dict(_levels()),
        counters=dict(_counters()),
        process_seconds=dict(_processes()),
    )


def _levels() -> Iterator[tuple[tuple[str, str], float]]:
    memory = psutil.virtual_memory()
    yield ("memory", "memory_percent"), memory.percent
    yield ("memory/available", "memory_bytes"), float(memory.available)
    swap = _attempt(psutil.swap_memory)
    if swap is not None and swap.total:
        yield ("swap", "swap_percent"), swap.percent
    load = _attempt(psutil.getloadavg)
    if load is not None:
        yield ("load", "load_1m"), load[0]
    for partition in _attempt(psutil.disk_partitions) or ():
        usage = _attempt(lambda path=partition.mountpoint: psutil.disk_usage(path))
        if usage is not None and usage.total:
            yield (f"disk/{partition.mountpoint}", "disk_percent"), usage.percent
    yield from _temperatures()


def _temperatures() -> Iterator[tuple[tuple[str, str], float]]:
    read = getattr(psutil, "sensors_temperatures", None)
    chips = _attempt(read) if read is not None else None
    for chip, sensors in (chips or {}).items():
        for number, sensor in enumerate(sensors):
            yield (f"temperature/{chip}/{sensor.label or number}", "temperature_celsius"), float(sensor.current)


def _counters() -> Iterator[tuple[tuple[str, str], float]]:
    for name, network in (_attempt(lambda: psutil.net_io_counters(pernic=True)) or {}).items():
        yield (f"network/{name}/received", "network_bytes_per_s"), float(network.bytes_recv)
        yield (f"network/{name}/sent", "network_bytes_per_s"), float(network.bytes_sent)
    for name, disk in (_attempt(lambda: psutil.disk_io_counters(perdisk=True)) or {}).items():
        if name.startswith(_VIRTUAL_DISKS):
            continue
        yield (f"disk/{name}/read", "disk_bytes_per_s"), float(disk.read_bytes)
        yield (f"disk/{name}/written", "disk_bytes_per_s"), float(disk.write_bytes)


def _processes() -> Iterator[tuple[tuple[int, float, str], float]]:
    for process in psutil.process_iter(["pid", "create_time", "name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None and process.info["name"]:
            key = (process.info["pid"], process.info["create_time"] or 0.0, process.info["name"])
            yield key, times.user + times.system


def _rates(
    before: Mapping[tuple[str, str], float], now: Mapping[tuple[str, str], float], seconds: float
) -> dict[tuple[str, str], float]:
    # A counter that went back was reset, by a device that was taken out and came again.
    rates = {
        name: (value - before[name]) / seconds for name, value in now.items() if value >= before.get(name, value + 1)
    }
    return {(plain_name(key), kind): rate for (key, kind), rate in rates.items()}


def _attempt(read: Any) -> Any:
    """Return what a reading gives, or `None` where the machine has or shows no such thing."""
    try:
        return read()
    except (OSError, psutil.Error, NotImplementedError, RuntimeError):
        return None
