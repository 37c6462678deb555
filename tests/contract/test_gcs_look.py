"""Who holds a port open and says nothing is told from who speaks."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from cluster.local.home import Home
from cluster.node.gcs_look import answers
from cluster.node.ray_tls import caller_context, tls_environment
from cluster.node.settings import NodeSettings
from tests.support.credentials import PASSWORD


@contextmanager
def listening(said: bytes | None) -> Iterator[str]:
    """Listen, and say something to who connects; `None` takes no connection, as a process that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(said or b"")

        if said is not None:
            threading.Thread(target=serve, daemon=True).start()
        yield "{}:{}".format(*server.getsockname())


@pytest.mark.parametrize(
    ("said", "does"),
    [
        (b"\0\0\0\4\0\0\0\0\0", True),
        (b"\0\0\6\4\0\0\0\0\0", True),
        (b"HTTP/1.1 400", False),
        (b"", False),
        (None, False),
    ],
)
def test_only_the_settings_of_http_2_are_an_answer(said: bytes | None, does: bool) -> None:
    with listening(said) as address:
        assert answers(address, 0.3) is does


def test_nobody_answers_at_a_port_that_is_closed() -> None:
    with listening(None) as address:
        pass
    assert not answers(address, 0.3)


def variables(directory: Path, host: str, password: str = PASSWORD) -> dict[str, str]:
    """Return what the environment of a node names, whose home and directory are made in a folder."""
    home = Home(directory)
    directory.mkdir(exist_ok=True)
    home.password_path.write_text(password)
    home.password_path.chmod(0o600)
    node = NodeSettings(
        name="a",
        group_id=2,
        home=str(directory),
        address=f"{host}:1",
        raft_address=f"{host}:2",
        members={},
        carries_ray=True,
    )
    return dict(tls_environment(directory / "node", node))


@contextmanager
def ray_server(made: dict[str, str]) -> Iterator[str]:
    """Serve gRPC as Ray's processes do with such variables, and yield the address."""
    names = ("RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT", "RAY_TLS_CA_CERT")
    key, certificate, authority = (Path(made[name]).read_bytes() for name in names)
    server = grpc.server(ThreadPoolExecutor(1))
    wanted = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", wanted)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def test_ray_answers_inside_tls_those_who_have_the_password(tmp_path: Path) -> None:
    made = variables(tmp_path / "a", "10.0.0.1")
    other = variables(tmp_path / "b", "10.0.0.2")
    stranger = variables(tmp_path / "c", "10.0.0.3", "another password of tests")
    with ray_server(made) as address:
        assert answers(address, context=caller_context(other))
        assert not answers(address, context=caller_context(stranger))
        assert not answers(address, 0.3)


@pytest.mark.parametrize("host", ["10.0.0.1", "[fd00::1]"])
def test_what_ray_reads_is_its_owners_alone_and_names_the_machine(host: str, tmp_path: Path) -> None:
    made = variables(tmp_path, host)
    paths = [Path(made[name]) for name in made if name != "RAY_USE_TLS"]
    assert (made["RAY_USE_TLS"], len(paths)) == ("1", 3)
    assert [path.stat().st_mode & 0o777 for path in (*paths, paths[0].parent)] == [0o600] * 3 + [0o700]
    certificate = x509.load_pem_x509_certificate(Path(made["RAY_TLS_SERVER_CERT"]).read_bytes())
    named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ip_address(host.strip("[]")) in named.get_values_for_type(x509.IPAddress)


def test_on_loopback_ray_goes_on_without_tls(tmp_path: Path) -> None:
    assert variables(tmp_path, "127.0.0.2") == {}
    assert caller_context({}) is None
