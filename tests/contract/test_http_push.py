"""What a source of HTTP promises: 2xx means durable, a repeated push is one, and hostile bodies get a clear answer."""

import gzip
import json
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgpack
import pytest
import urllib3

from actors.errors import SourceError
from cluster.local.speed import slowness
from config.settings import JobSettings
from tests.support.jobs import make_trades_job
from tests.support.pushing import FedSource, fed

MEBIBYTE = 1 << 20


def job_of(form: Any = "json", **settings: Any) -> JobSettings:
    limits = {"time_min": "1900-01-01"} | settings.pop("limits", {})
    source = {"type": "http", "listen": "127.0.0.1:0", "format": form}
    return make_trades_job(source | settings, limits=limits)


def lines(numbers: Sequence[int]) -> bytes:
    return b"".join(json.dumps({"time": number, "sym": "A", "qty": number}).encode() + b"\n" for number in numbers)


def rows_of(numbers: Sequence[int]) -> list[Any]:
    return [(number, "A", number) for number in numbers]


def push(one: FedSource, body: bytes, method: str = "POST", path: str = "/", **headers: str) -> tuple[int, str]:
    """Send a body, and return the status and the text of the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    port = one.feed.port  # type: ignore[attr-defined]
    with urllib3.PoolManager(retries=False, timeout=20 * slowness()) as pool:
        answer = pool.request(method, f"http://127.0.0.1:{port}{path}", body=body, headers=named)
        return answer.status, answer.data.decode()


def test_what_was_answered_is_kept_however_it_was_written(tmp_path: Path) -> None:
    job = job_of({"type": "json", "columns": {"sym": "$path"}})
    with fed(job, tmp_path) as one:
        assert push(one, lines(range(3))) == (204, "")
        assert push(one, gzip.compress(lines([3])), path="/b", Content_Encoding="gzip") == (204, "")
        whole = json.dumps([{"time": 4, "qty": 4}, {"time": 5, "qty": 5}], indent=1).encode()
        assert push(one, whole, "PUT", Content_Type="application/json; charset=utf-8") == (204, "")
        assert push(one, b'{\n"time": 6,\n"qty": 6}', Content_Type="application/json") == (204, "")
        assert push(one, lines([7]) + b"\r\n\n{\n" + lines([8]), Content_Type="application/json") == (204, "")
        # Nothing of this waits in memory.
        assert one.table.bounds(0).next_offset == 10
    with fed(job, tmp_path) as one:
        expected = [(number, "/b" if number == 3 else "/", number) for number in range(9)]
        assert one.now() == expected
        assert [letter.raw for letter in one.letters] == [b"{"]


def test_a_repeated_push_is_one_also_for_the_next_process(tmp_path: Path) -> None:
    for turn in range(2):
        with fed(job_of(), tmp_path) as one:
            assert push(one, lines([1]), Idempotency_Key="a")[0] == 204
            assert push(one, lines([1]), Idempotency_Key="a")[0] == 204
            status, text = push(one, lines([2]), Idempotency_Key="a")
            assert (status, text) == (422, "another body was sent with this Idempotency-Key\n")
            assert push(one, lines([turn + 3]), Idempotency_Key=f"b{turn}")[0] == 204
            assert push(one, lines([5]), Idempotency_Key="x" * 256)[0] == 400
    with fed(job_of(), tmp_path) as one:
        assert one.now() == rows_of([1, 3, 4])


def test_senders_are_told_to_come_back_while_the_job_does_not_keep_up(tmp_path: Path) -> None:
    with fed(job_of(limits={"stream_rows_max": 100}), tmp_path) as one:
        assert push(one, lines(range(51)))[0] == 204
        port = one.feed.port  # type: ignore[attr-defined]
        with urllib3.PoolManager(retries=False) as pool:
            answer = pool.request("POST", f"http://127.0.0.1:{port}/", body=lines([60]))
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert one.now() == rows_of(range(51))
        assert push(one, lines([60]))[0] == 204


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b"", {}, 400, "holds no records"),
        (b"\n\r\n \n", {}, 400, "holds no records"),
        (b"\xff\xfe{}", {}, 400, "not UTF-8 text: byte 0 is 0xff"),
        (b"<html>\n<p>", {}, 400, "no record of the body can be read; of one: the line is no JSON"),
        (b'{"time": "x", "sym": "A", "qty": 1}', {}, 400, "column 'time'"),
        (b"[" * 100_000, {"Content_Type": "application/json"}, 400, "nested too deeply"),
        (b"9" * 5000, {"Content_Type": "application/json"}, 400, "too many digits"),
        (b"{", {"Content_Type": "application/json"}, 400, "the body is no JSON"),
        (b"[]", {"Content_Type": "application/json"}, 400, "holds no records"),
        (b"x" * (MEBIBYTE + 1), {}, 413, "at most 1048576 bytes"),
        (gzip.compress(b"0" * (200 * MEBIBYTE), 1), {"Content_Encoding": "gzip"}, 413, "at most 1048576 bytes"),
        (b"{}", {"Content_Encoding": "gzip"}, 400, "cannot be unpacked"),
        (gzip.compress(b"{}")[:-3], {"Content_Encoding": "gzip"}, 400, "torn"),
        (gzip.compress(b"{}") + b"more", {"Content_Encoding": "gzip"}, 400, "more follows"),
        (b"{}", {"Content_Encoding": "br"}, 415, "gzip or deflate, not 'br'"),
    ],
    # Packed bytes hold the time, and names of tests must stay the same.
    ids=range(15),
)
def test_a_hostile_body_is_refused_with_what_is_wrong(
    body: bytes, headers: dict[str, str], status: int, text: str, tmp_path: Path
) -> None:
    with fed(job_of(body_size_bytes_max=MEBIBYTE), tmp_path) as one:
        found = push(one, body, **headers)
        assert found[0] == status
        assert text in found[1]
        assert one.table.bounds(0).next_offset == 0
        assert push(one, lines([1]))[0] == 204


def test_bytes_that_are_no_request_harm_nobody(tmp_path: Path) -> None:
    with fed(job_of(), tmp_path) as one:
        port = one.feed.port  # type: ignore[attr-defined]
        for data in (
            b"\x16\x03\x01\x02\x00",
            b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), 10) as place:
                place.sendall(data)
                assert data.startswith(b"\x16") or place.recv(100)[:12] in (b"HTTP/1.0 400", b"HTTP/1.1 400")
        # A body that never ends is cut off when its sender goes.
        with socket.create_connection(("127.0.0.1", port), 10) as place:
            place.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n" + lines([1]))
        assert push(one, lines([2]))[0] == 204
        assert push(one, b"", "DELETE")[0] == 405
        assert push(one, b"", "GET", "/ping")[0] == 204
        assert one.now() == rows_of([2])


def test_csv_has_its_header_in_each_body(tmp_path: Path) -> None:
    with fed(job_of("csv"), tmp_path) as one:
        assert push(one, b"time,sym,qty\r\n1,A,1\r\n2,A,2\r\n")[0] == 204
        assert push(one, b"\xef\xbb\xbfqty,time,more,sym\n3,3,x,A")[0] == 204
        status, text = push(one, b"qty,time\n3,3\n")
        assert status == 400
        assert "no column 'sym'" in text
        assert push(one, b"time,sym,qty\n")[0] == 400
        assert one.now() == rows_of([1, 2, 3])
    with fed(job_of({"type": "csv", "header": False}), tmp_path) as one:
        assert push(one, b"4,A,4\n")[0] == 204
        assert one.now(3) == rows_of([4])


def test_line_protocol_comes_as_telegraf_sends_it(tmp_path: Path) -> None:
    form = {"type": "influx", "columns": {"sym": "host", "qty": "n"}}
    with fed(job_of(form, security={"token": "env:TOKEN"}), tmp_path, environment={"TOKEN": "t"}) as one:
        body = gzip.compress(b'm,host=A n=1i,x="a\nb" 1000000\nm,host=A n=2i 2000000\n')
        path = "/api/v2/write?bucket=b&org=o&precision=ns"
        assert push(one, body, path=path, Authorization="Token t", Content_Encoding="gzip")[0] == 204
        assert push(one, b"m,host=A n=3i 3", path="/write?db=a&precision=ms", Authorization="Token t")[0] == 204
        assert push(one, b"m,host=A n=4i", path="/write", Authorization="Token t")[0] == 204
        assert push(one, b"m,host=A n=3i 3", path="/write?precision=y", Authorization="Token t")[0] == 400
        found = one.now()
        assert found[:3] == rows_of([1, 2, 3])
        assert found[3][0] > 1_700_000_000_000
        assert found[3][1:] == ("A", 4)


def test_a_body_of_msgpack_is_an_object_or_with_explode_several(tmp_path: Path) -> None:
    with fed(job_of({"type": "msgpack", "explode": "."}), tmp_path) as one:
        assert push(one, msgpack.packb([{"time": 1, "sym": "A", "qty": 1}, [10, "A", 10]]))[0] == 204
        assert push(one, b"\xc1")[0] == 400
        assert one.now() == rows_of([1, 10])


def test_only_who_has_the_token_may_send(tmp_path: Path) -> None:
    job = job_of(security={"token": "env:TOKEN"})
    with fed(job, tmp_path, environment={"TOKEN": "sécret"}) as one:
        basic = urllib3.make_headers(basic_auth="any:s\u00e9cret".encode().decode("latin-1"))["authorization"]
        for given in ("Bearer s\u00e9cret", "Token s\u00e9cret", basic):
            sent = given.encode().decode("latin-1")
            assert push(one, lines([1]), Authorization=sent)[0] == 204
        for given in ("Bearer other", "Basic !", "s", ""):
            assert push(one, lines([2]), Authorization=given)[0] == 401
        assert one.now() == rows_of([1, 1, 1])
    with pytest.raises(SourceError, match="TOKEN"), fed(job, tmp_path):
        pass


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    with fed(job_of(), tmp_path / "a") as one:
        taken = f"127.0.0.1:{one.feed.port}"  # type: ignore[attr-defined]
        with pytest.raises(SourceError, match="nobody can listen at"), fed(job_of(listen=taken), tmp_path / "b"):
            pass
    with pytest.raises(SourceError, match="no address of this machine"), fed(job_of(listen="a.invalid:1"), tmp_path):
        pass


def test_curl_sends_over_tls_what_it_reads(tmp_path: Path) -> None:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    make_certificate(tmp_path)
    job = job_of(security={"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "k.pem")})
    (tmp_path / "rows").write_bytes(lines(range(1000)))
    with fed(job, tmp_path) as one:
        url = f"https://localhost:{one.feed.port}/"  # type: ignore[attr-defined]
        command = [program, "-sS", "--fail", "--cacert", str(tmp_path / "c.pem"), "-H", "Idempotency-Key: 1"]
        for _ in range(2):
            subprocess.run([*command, "--data-binary", f"@{tmp_path}/rows", url], check=True, timeout=30 * slowness())
        assert one.now() == rows_of(range(1000))
        with socket.create_connection(("127.0.0.1", one.feed.port), 10) as place:  # type: ignore[attr-defined]
            place.sendall(b"POST / HTTP/1.1\r\n\r\n")
            assert not place.recv(100).startswith(b"HTTP")


def make_certificate(directory: Path) -> None:
    """Write a certificate of this machine, and its key."""
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(directory / "k.pem"), "-out", str(directory / "c.pem")]
    subprocess.run(["openssl", "req", *options, *names, *files], check=True, capture_output=True)
