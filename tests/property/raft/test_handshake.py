"""Connections to a listening member, by strangers, by liars and by members, over real sockets in one thread."""

import contextlib
import random
import ssl
from collections.abc import Callable

import pytest

from raft.errors import FormatError
from raft.transport import STRANGER_COUNT_MAX, node_of
from raft.wire import (
    ALTERED,
    HELLO_SIZE_BYTES_MAX,
    NO_HANDSHAKE,
    OTHER_PASSWORD,
    decode_hello,
    encode_hello,
    encode_message,
)
from tests.support.credentials import credentials, credentials_until
from tests.support.hostile_frames import changed_frames
from tests.support.raft_callers import VOTE, Caller, Stranger, framed, greeting, listening, until, vote_passes


def says_tls_only(heard: bytes) -> bool:
    """Whether a stranger has heard nothing but an alert, which is 7 bytes."""
    return bytes(heard[:2]) in (b"", b"\x15\x03") and len(heard) in (0, 7)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\1\5",
        b"\0\0\0\4\x93\1\2\3",
        b"\0\0\0\0\0",
        b"\xff\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x15\x03\x03\x00\x02\x02\x30",
        b"\x17\x03\x03\x00\x05hello",
        framed(encode_hello(greeting("a"))),
        framed(encode_message(VOTE)),
    ],
)
def test_a_few_bytes_of_a_stranger_end_the_connection_only(data: bytes) -> None:
    with listening() as (transport, address, taken):
        stranger = Stranger(transport, address)
        stranger.send(data)
        assert stranger.has_ended()
        assert says_tls_only(stranger.heard)
        assert [peer.reason for peer in transport.strangers.values()] in ([NO_HANDSHAKE], [OTHER_PASSWORD])
        assert vote_passes(transport, address, taken)


def test_random_bytes_end_the_connection_only() -> None:
    dice = random.Random(1)
    with listening() as (transport, address, taken):
        for _ in range(100):
            stranger = Stranger(transport, address)
            stranger.send(dice.randbytes(5) + dice.randbytes(dice.choice((1, 100, 5000, 70_000))))
            stranger.sock.close()
        until(lambda: not transport.incoming_count(), transport)
        assert vote_passes(transport, address, taken)


def flights() -> tuple[bytes, bytes]:
    """Return the lengths' worth of bytes that a member sends first, and after the answer, in a good handshake."""
    with listening() as (transport, address, _):
        caller = Caller(transport, address)
        caller.side.shake()
        first = caller.side.outgoing.read()
        caller.send(first)
        while not caller.side.is_ready:
            caller.pull()
            caller.side.shake()
        return first, caller.side.outgoing.read()


def shake_with(caller: Caller, flight: int, change: Callable[[bytes], bytes]) -> None:
    """Do a handshake in which one of the two flights of the caller is changed, and hang up."""
    caller.side.shake()
    first = caller.side.outgoing.read()
    caller.send(change(first) if flight == 0 else first)
    while flight == 1 and not caller.side.is_ready and not caller.is_over:
        caller.pull()
        caller.side.shake()
    if flight == 1:
        caller.send(change(caller.side.outgoing.read()))
    caller.sock.close()


def changed_at(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at_most = min(at, len(data) - 1)
        return data[:at_most] + bytes([data[at_most] ^ 0x41]) + data[at_most + 1 :]

    return change


def cut_at(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at]


@pytest.mark.parametrize("stride", [29, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("changed", [cut_at, changed_at])
def test_handshakes_that_are_cut_or_changed_anywhere_prove_nothing(
    changed: Callable[[int], Callable[[bytes], bytes]], stride: int
) -> None:
    lengths = [len(flight) for flight in flights()]
    with listening() as (transport, address, taken):
        for flight, length in enumerate(lengths):
            for at in range(0, length, stride):
                caller = Caller(transport, address)
                shake_with(caller, flight, changed(at))
                until(lambda: not transport.incoming_count(), transport)
                assert caller.plain == b""
        assert transport.heard == {}
        assert vote_passes(transport, address, taken)


@pytest.mark.parametrize(
    "context",
    [
        lambda: credentials(password="another password of tests").client_context(),
        lambda: credentials("another group").client_context(),
    ],
)
def test_another_password_or_group_is_refused_by_both(context: Callable[[], ssl.SSLContext]) -> None:
    with listening() as (transport, address, taken):
        caller = Caller(transport, address, context())
        with pytest.raises(ssl.SSLCertVerificationError):
            caller.shake()
        caller.push()
        assert caller.has_ended()
        assert [peer.reason for peer in transport.strangers.values()] == [OTHER_PASSWORD]
        assert vote_passes(transport, address, taken)


def foreign() -> ssl.SSLContext:
    """Return one that believes the member and shows a certificate of another authority."""
    context = credentials(password="another password of tests").client_context()
    context.load_verify_locations(cadata=credentials().authority.decode())
    return context


def nameless() -> ssl.SSLContext:
    """Return one that believes the member and shows nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=credentials().authority.decode())
    return context


def expired() -> ssl.SSLContext:
    return credentials_until(2025).client_context()


@pytest.mark.parametrize("context", [foreign, nameless, expired])
def test_who_cannot_prove_the_password_hears_nothing(context: Callable[[], ssl.SSLContext]) -> None:
    with listening() as (transport, address, taken):
        caller = Caller(transport, address, context())
        with pytest.raises(ssl.SSLError, match="ALERT"):
            caller.greet()
        assert caller.has_ended()
        assert (caller.plain, transport.heard) == (b"", {})
        assert list(transport.strangers) == ["127.0.0.1"]
        assert vote_passes(transport, address, taken)


def test_a_caller_that_dawdles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.transport.HANDSHAKE_S", 0.3)
    with listening() as (transport, address, taken):
        slow, silent = Caller(transport, address), Stranger(transport, address)
        slow.side.shake()
        for byte in slow.side.outgoing.read():
            slow.send(bytes([byte]))
            transport.maintain()
        while not (slow.is_over and silent.is_over):
            transport.maintain()
            slow.listen()
            silent.listen()
        monkeypatch.undo()
        assert vote_passes(transport, address, taken)


def test_who_proves_itself_and_never_ends_its_hello_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.transport.HANDSHAKE_S", 0.5)
    with listening() as (transport, address, _):
        caller = Caller(transport, address)
        caller.shake()
        caller.say(b"\0\0\1\0")
        while not caller.is_over:
            transport.maintain()
            caller.listen()


def test_many_strangers_at_once_keep_no_member_out_nor_in() -> None:
    with listening() as (transport, address, taken):
        member = Caller(transport, address)
        assert member.greet() == ""
        strangers = []
        for _ in range(200):
            strangers.append(Stranger(transport, address))
            transport.poller.poll(0.001)
        assert transport.incoming_count() <= STRANGER_COUNT_MAX + 1
        assert vote_passes(transport, address, taken)
        # The member greeted again, so only its newer connection counts; the strangers have not ended that one.
        assert member.has_ended()
        for stranger in strangers:
            stranger.sock.close()


def test_strangers_take_places_of_their_own_machine_first() -> None:
    with listening() as (transport, address, _):
        neighbour = Stranger(transport, address, source="127.0.0.77")
        strangers = []
        for _ in range(100):
            strangers.append(Stranger(transport, address))
            transport.poller.poll(0.001)
        assert neighbour.listen() == b""
        assert not neighbour.is_over
        for stranger in strangers:
            stranger.sock.close()


def test_strangers_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as (transport, address, _):
        for data in (b"\5" * 9, b"\x15\x03\x03\x00\x02\x02\x30") * 5:
            stranger = Stranger(transport, address)
            stranger.send(data)
            assert stranger.has_ended()
    assert [record.message for record in caplog.records] == ["stranger rejected"]


def test_changed_hellos_end_the_connection_only() -> None:
    dice = random.Random(1)
    hello = encode_hello(greeting("a"))
    with listening() as (transport, address, taken):
        for frame in changed_frames(dice, [hello], 60):
            with contextlib.suppress(FormatError):
                # The greeting of another member is as good.
                decode_hello(frame)
                continue
            caller = Caller(transport, address)
            caller.shake()
            caller.say(framed(frame))
            assert caller.has_ended()
        assert vote_passes(transport, address, taken)


def test_a_hello_that_is_too_long_is_not_waited_for() -> None:
    with listening() as (transport, address, _):
        caller = Caller(transport, address)
        caller.shake()
        caller.say((HELLO_SIZE_BYTES_MAX + 1).to_bytes(4, "big"))
        assert caller.has_ended()
        assert "bytes, allowed are" in transport.rejected["127.0.0.1"].reason


def test_changed_frames_of_a_member_end_its_connection_only() -> None:
    with listening() as (transport, address, taken):
        for frame in changed_frames(random.Random(2), [encode_message(VOTE)], 60):
            caller = Caller(transport, address)
            assert caller.greet() == ""
            for sent in (frame, b"\xc1"):
                caller.say(framed(sent))
            assert caller.has_ended()
        assert transport.rejected["127.0.0.1:9"].name == "a"
        assert vote_passes(transport, address, taken)


@pytest.mark.parametrize("change", ["altered", "repeated", "left out", "plain"])
def test_what_the_member_did_not_send_in_its_place_is_not_taken(change: str) -> None:
    with listening() as (transport, address, taken):
        caller = Caller(transport, address)
        assert caller.greet() == ""
        records = []
        for _ in range(2):
            caller.side.tls.write(framed(encode_message(VOTE)))
            records.append(caller.side.outgoing.read())
        one, other = records
        sent = {
            "altered": one[:-1] + bytes([one[-1] ^ 1]),
            "repeated": one + one,
            "left out": other,
            "plain": framed(encode_message(VOTE)),
        }[change]
        caller.send(sent)
        assert caller.has_ended()
        assert len(taken) == (1 if change == "repeated" else 0)
        assert transport.rejected["127.0.0.1:9"].reason == ALTERED
        assert vote_passes(transport, address, taken)


def test_a_large_frame_arrives_whole() -> None:
    with listening() as (transport, address, taken):
        caller = Caller(transport, address)
        assert caller.greet() == ""
        message = {"type": "apply_command", "command": random.Random(1).randbytes(3_000_000)}
        caller.say(framed(encode_message(message)))
        until(lambda: bool(taken), transport)
        assert taken == [message]


@pytest.mark.parametrize(
    "address", ["a..b:80", "x" * 80 + ".org:80", "no address", "127.0.0.1:\N{SUPERSCRIPT TWO}", "\0:1"]
)
def test_a_voter_whose_address_names_no_machine_is_called_in_vain(address: str) -> None:
    with listening() as (transport, own, taken):
        transport.addNode(node_of("c", address, "id-c"))
        transport.maintain()
        assert vote_passes(transport, own, taken)
