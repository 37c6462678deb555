"""What a member refuses to start with, and what it does about a damaged journal."""

import dataclasses
from pathlib import Path

import pytest

from raft.errors import SettingsError
from raft.journal import Journal
from raft.member import MemberSettings, open_journal
from raft.settings import Timing, check, split_address
from tests.support.credentials import credentials

ADDRESSES = {"a": "127.0.0.1:7101", "b": "127.0.0.1:7102"}
GOOD = MemberSettings(name="a", addresses=ADDRESSES, directory=Path("a"), credentials=credentials())


def test_members_may_be_anywhere() -> None:
    check(GOOD)
    check(dataclasses.replace(GOOD, addresses={"a": "localhost:1", "b": "[::1]:2"}))
    check(dataclasses.replace(GOOD, addresses={"a": "192.0.2.1:7101", "b": "192.0.2.2:7101"}))


@pytest.mark.parametrize("address", ["0.0.0.0:7101", "[::]:7101"])
def test_a_member_does_not_listen_at_every_address(address: str) -> None:
    with pytest.raises(SettingsError, match="stands for every address of this machine; name the one"):
        check(dataclasses.replace(GOOD, addresses={"a": address}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "c"}, "'c' is none of the members"),
        ({"addresses": {"a": "127.0.0.1:1", "b": "127.0.0.1:1"}}, "the same address"),
        ({"addresses": {"a": "127.0.0.1"}}, "write host:port"),
        ({"addresses": {"a": "127.0.0.1:99999"}}, "write host:port"),
        ({"timing": Timing(heartbeat_s=0.3)}, "three heartbeats"),
    ],
)
def test_settings_that_cannot_work_are_refused(changed: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check(dataclasses.replace(GOOD, **changed))  # type: ignore[arg-type]


def test_the_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(GOOD)


def test_an_address_has_a_host_and_a_port() -> None:
    assert split_address("host:1") == ("host", 1)
    assert split_address("[::1]:65535") == ("::1", 65535)


def test_a_damaged_journal_is_put_aside_and_the_member_is_another(tmp_path: Path) -> None:
    settings = dataclasses.replace(GOOD, directory=tmp_path, durable=False)
    first = Journal.open(tmp_path / "journal", durable=False)
    first.form((("a", "127.0.0.1:7101", first.identity),))
    first.close()
    (tmp_path / "journal" / "data.mdb").write_bytes(b"spoilt" * 2000)
    journal, problem = open_journal(settings)
    assert (journal.voters, journal.identity != first.identity) == ((), True)
    assert problem.endswith("put aside as journal.damaged-1.")
    assert (tmp_path / "journal.damaged-1" / "data.mdb").exists()
