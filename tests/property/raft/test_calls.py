"""Calls of a member to who listens at another's address: the member itself, strangers, and those that lie."""

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from cluster.local.speed import slowness
from raft import transport as module
from raft.credentials import Credentials
from raft.transport import TcpTransport, node_of
from raft.wire import NO_HANDSHAKE, OTHER_PASSWORD, encode_hello, encode_verdict
from tests.support.credentials import Side, credentials, credentials_until
from tests.support.hostile_frames import changed_frames
from tests.support.raft_callers import framed, greeting
from tests.support.raft_process import free_addresses


@contextmanager
def transport_at(name: str, address: str, made: Credentials | None = None) -> Iterator[TcpTransport]:
    """Run a member's transport."""
    transport = TcpTransport(
        greeting=lambda: greeting(name, address), address=address, credentials=made or credentials()
    )
    transport.setOnMessageReceivedCallback(lambda *_: None)
    try:
        yield transport
    finally:
        transport.destroy()


def act(condition: Callable[[], bool], *transports: TcpTransport) -> None:
    deadline_s = time.monotonic() + 20 * slowness()
    while not condition():
        assert time.monotonic() < deadline_s
        for transport in transports:
            transport.maintain()
            transport.poller.poll(0.001)


def answer(listener: socket.socket, transport: TcpTransport, data: bytes) -> None:
    """Take a call, answer it with bytes, and wait until the caller has hung up."""
    listener.settimeout(0.01)
    deadline_s = time.monotonic() + 20 * slowness()
    while True:
        assert time.monotonic() < deadline_s
        transport.maintain()
        transport.poller.poll(0.001)
        try:
            sock, _ = listener.accept()
            break
        except TimeoutError:
            continue
    with sock:
        sock.setblocking(False)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while True:
            assert time.monotonic() < deadline_s
            transport.poller.poll(0.001)
            try:
                if not sock.recv(1 << 16):
                    return
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return


def listener_at(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)))


@pytest.mark.parametrize("is_older", [False, True])
def test_a_member_knows_whether_the_one_it_calls_can_be_asked_for_consent(is_older: bool) -> None:
    own, other = free_addresses(2).values()
    with transport_at("a", own) as caller, transport_at("b", other) as called:
        if is_older:
            # Members of versions before name no version of the messages in TLS's handshake.
            called.listener_tls = credentials().server_context()
        node = node_of("b", other, greeting("b", other).identity)
        caller.addNode(node)
        assert not caller.can_be_asked(node)
        act(lambda: bool(caller.connected_names()), caller, called)
        assert caller.can_be_asked(node) is not is_older


def test_members_greet_each_other() -> None:
    here, there = free_addresses(2).values()
    with transport_at("b", here) as caller, transport_at("c", there) as listener:
        caller.addNode(node_of("c", there, "id-c"))
        act(lambda: caller.connected_names() == {"c"}, caller, listener)
        assert (list(caller.heard), list(listener.heard)) == (["c"], ["b"])


def test_a_member_learns_at_once_that_the_process_of_another_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.0)
    here, there = free_addresses(2).values()
    ended: list[str] = []
    with transport_at("b", here) as caller:
        caller.on_ended = lambda node, since_s: ended.append(node.name)
        with transport_at("c", there) as listener:
            caller.addNode(node_of("c", there, greeting("c", there).identity))
            act(lambda: caller.connected_names() == {"c"}, caller, listener)
            caller.greet_again()
            act(lambda: caller.connected_names() == {"c"}, caller, listener)
            assert ended == []
        act(lambda: bool(ended), caller)
        assert (ended[0], caller.connected_names()) == ("c", set())


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: credentials(password="another password of tests"), OTHER_PASSWORD),
        (lambda: credentials("another group"), OTHER_PASSWORD),
        (lambda: credentials_until(2025), OTHER_PASSWORD),
    ],
)
def test_a_listener_that_proves_nothing_is_told_nothing(made: Callable[[], Credentials], reason: str) -> None:
    here, there = free_addresses(2).values()
    with transport_at("b", here) as caller, transport_at("c", there, made()) as listener:
        caller.addNode(node_of("c", there, "id-c"))
        act(lambda: there in caller.rejected and bool(listener.strangers), caller, listener)
        assert (caller.rejected[there].reason, listener.heard) == (reason, {})


@pytest.mark.parametrize("data", [b"\0\0\0\1\5", framed(encode_hello(greeting("c"))), b"HTTP/1.1 400 Bad\r\n\r\n"])
def test_a_listener_without_tls_is_refused_and_may_be_replaced_by_the_member(data: bytes) -> None:
    here, there = free_addresses(2).values()
    with transport_at("b", here) as caller:
        caller.addNode(node_of("c", there, "id-c"))
        with closing(listener_at(there)) as listener:
            answer(listener, caller, data)
        assert caller.rejected[there].reason == NO_HANDSHAKE
        with transport_at("c", there) as member:
            act(lambda: caller.connected_names() == {"c"}, caller, member)
            assert caller.rejected == {}


def test_random_answers_of_a_listener_end_the_call_only() -> None:
    here, there = free_addresses(2).values()
    dice = random.Random(1)
    with transport_at("b", here) as caller:
        caller.addNode(node_of("c", there, "id-c"))
        with closing(listener_at(there)) as listener:
            for _ in range(10):
                answer(listener, caller, dice.choice((b"", b"\x16\x03\x03")) + dice.randbytes(dice.randrange(3000)))
        with transport_at("c", there) as member:
            act(lambda: caller.connected_names() == {"c"}, caller, member)


def test_a_member_that_speaks_wrongly_ends_its_own_call_only() -> None:
    here, there = free_addresses(2).values()
    frames = list(changed_frames(random.Random(3), [encode_hello(greeting("c")), encode_verdict("")], 12))[-12:]
    with transport_at("b", here) as caller:
        caller.addNode(node_of("c", there, "id-c"))
        with closing(listener_at(there)) as listener:
            for frame in frames:
                lie(listener, caller, framed(frame) + framed(b"\xc1"))
        with transport_at("c", there) as member:
            act(lambda: caller.connected_names() == {"c"}, caller, member)


def lie(listener: socket.socket, transport: TcpTransport, plain: bytes) -> None:
    """Take a call with the right credentials, say something through TLS, and wait until the caller has hung up."""
    listener.settimeout(0.01)
    side, sock = Side(credentials().server_context(), is_server=True), None
    deadline_s = time.monotonic() + 20 * slowness()
    while sock is None:
        assert time.monotonic() < deadline_s
        transport.maintain()
        transport.poller.poll(0.001)
        try:
            sock, _ = listener.accept()
        except TimeoutError:
            continue
    sock.settimeout(0.01)
    with sock:
        while True:
            assert time.monotonic() < deadline_s
            transport.poller.poll(0.001)
            try:
                data = sock.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionResetError:
                return
            if not data:
                return
            side.incoming.write(data)
            if not side.is_ready:
                side.shake()
                if side.is_ready:
                    side.tls.write(plain)
                sock.sendall(side.outgoing.read())
