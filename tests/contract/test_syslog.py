"""What a source of syslog promises, shown with what really sends it: `logger` and rsyslog."""

import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.local.speed import slowness
from config import JobSettings, make_job
from tests.contract.test_http_push import make_certificate
from tests.support.pushing import FedSource, fed


def job_of(form: Any = "syslog", **settings: Any) -> JobSettings:
    source = {"type": "syslog", "listen": "127.0.0.1:0", "format": form} | settings
    return make_job({"job": "logs", "key": ["app"], "metrics": ["severity < 3"], "source": source})


def port_of(one: FedSource) -> int:
    return one.feed.port  # type: ignore[attr-defined,no-any-return]


def send(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as place:
        place.sendall(data)


def test_what_logger_sends_is_rows(tmp_path: Path) -> None:
    program = shutil.which("logger")
    if program is None:
        pytest.skip("logger is not installed")
    with fed(job_of(), tmp_path) as one:
        command = [program, "-n", "127.0.0.1", "-P", str(port_of(one)), "-t", "app", "-p"]
        ways = (["-T"], ["-T", "--octet-count"], ["-d"], ["-T", "--rfc3164"], ["-d", "--rfc3164"])
        for number, way in enumerate(ways):
            subprocess.run([*command, "daemon.err", *way, f"message {number}"], check=True, timeout=20 * slowness())
            one.rows(number + 1)
        rows = one.now()
    assert [row[6] for row in rows] == [f"message {number}" for number in range(5)]
    assert {row[1:6] for row in rows} == {(rows[0][1], "app", "daemon", "err", 3)}
    now_ms = time.time_ns() // 1_000_000
    # Of RFC 3164 times are local ones.
    assert all(abs(row[0] - now_ms) < 100_000 * slowness() for row in rows[:3])


def test_both_framings_torn_messages_and_long_ones(tmp_path: Path) -> None:
    with fed(job_of({"type": "syslog", "record_size_bytes_max": 50}), tmp_path) as one:
        send(
            port_of(one), b"<11>Oct 11 22:14:15 h a: one\n28 <11>Oct 11 22:14:15 h a: two<11>Oct 11 22:14:15 h a: three"
        )
        assert [row[6] for row in one.rows(3)] == ["one", "two", "three"]
        send(port_of(one), b"40 <11>Oct 11 22:14:15 h a: torn")
        send(port_of(one), b"x" * 1000 + b"\n<11>Oct 11 22:14:15 h b: \xff\n")
        one.rows(6)
        assert [row[6] for row in one.now()][3:] == ["\ufffd"]
        assert sorted(letter.reason for letter in one.letters) == [
            "the connection ended within the message",
            "the message is longer than 50 bytes",
        ]


def test_senders_wait_while_the_job_does_not_keep_up_and_nothing_is_lost(tmp_path: Path) -> None:
    job = make_job(
        job_of(protocols="tcp").model_dump(mode="json", by_alias=True, exclude_unset=True)
        | {"limits": {"stream_rows_max": 1000}}
    )
    with fed(job, tmp_path) as one, socket.create_connection(("127.0.0.1", port_of(one)), 10) as place:
        place.settimeout(0.3)
        sent = 0
        line = b"<11>Oct 11 22:14:15 h a: " + b"m" * 1000 + b"\n"
        try:
            while sent < 200_000:
                place.sendall(line)
                sent += 1
        except TimeoutError:
            pass
        assert 500 < sent < 200_000
        place.settimeout(None)
        kept = one.table.bounds(0).next_offset
        assert kept < sent
        offset = 0
        due_s = time.monotonic() + 40 * slowness()
        while offset < sent:
            offset = one.source.read(0, offset, 1000).next_offset
            assert time.monotonic() < due_s


def test_fields_of_structured_data_are_columns_and_connections_may_be_tls(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    form = {"type": "syslog", "columns": {"app": "structured.a@1.user", "host": "$sender"}}
    files = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem"), "ca": str(tmp_path / "c.pem")}
    with fed(job_of(form, protocols="tcp", security=files), tmp_path) as one:
        send(port_of(one), b"<11>1 - h app - - - nobody\n")
        context = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
        context.load_cert_chain(str(tmp_path / "c.pem"), str(tmp_path / "k.pem"))
        with (
            socket.create_connection(("127.0.0.1", port_of(one)), 10) as place,
            context.wrap_socket(place, server_hostname="localhost") as secure,
        ):
            secure.sendall(b'<11>1 - h app - - [a@1 user="bob"] hi\n<11>1 - h app - - - there\n')
            assert [row[1:] for row in one.rows(2)] == [
                ("127.0.0.1", "bob", "user", "err", 3, "hi"),
                ("127.0.0.1", None, "user", "err", 3, "there"),
            ]


def test_rsyslog_forwards_all_lines_of_a_file(tmp_path: Path) -> None:
    program = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin")
    if program is None:
        pytest.skip("rsyslog is not installed")
    with fed(job_of(), tmp_path) as one:
        port = port_of(one)
        (tmp_path / "lines").write_text("".join(f"line {number}\n" for number in range(500)))
        settings = f"""
global(workDirectory="{tmp_path}")
module(load="imfile" mode="polling" pollingInterval="1")
input(type="imfile" file="{tmp_path}/lines" tag="lines:" severity="err")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" tcp_framing="octet-counted"
       template="RSYSLOG_SyslogProtocol23Format" queue.type="LinkedList" action.resumeRetryCount="-1"
       action.resumeInterval="1")
"""
        (tmp_path / "rsyslog.conf").write_text(settings)
        command = [program, "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            rows = one.rows(500)
        finally:
            process.terminate()
            process.wait()
    assert [row[6].strip() for row in rows] == [f"line {number}" for number in range(500)]
    assert {(row[2], row[4]) for row in rows} == {("lines", "err")}
