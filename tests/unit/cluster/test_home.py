"""The home is its owner's alone, and what it says of a cluster is believed only when it can be."""

import json
import os
import stat
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from cluster.cli import cli
from cluster.errors import ClusterError, NotRunningError
from cluster.local.cluster import ClusterOptions, start_cluster, stop_cluster
from cluster.local.home import ClusterRecord, Home
from cluster.node.settings import NodeSettings
from raft.journal import Journal
from raft.passwords import read_password_file

MEMBERS = {"member-1": "127.0.0.1:1", "member-2": "127.0.0.1:2", "member-3": "127.0.0.1:3"}
RECORD = ClusterRecord(
    dashboard_address=None,
    supervisor_pid=1 << 30,
    supervisor_started=1.5e9,
    mark="/nowhere",
    group_id=2,
    node_addresses=MEMBERS,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a home that is ready for a cluster."""
    made = Home(tmp_path / "home")
    made.prepare()
    made.ensure_secrets(2)
    return made


def modes(home: Home) -> set[tuple[bool, int]]:
    """Return what is a directory and its rights, of all that is there."""
    found = [path.lstat() for path in (home.directory, *home.directory.rglob("*"))]
    return {(stat.S_ISDIR(one.st_mode), stat.S_IMODE(one.st_mode)) for one in found}


def test_what_a_home_is_given_is_its_owners_alone(home: Home) -> None:
    home.write_record(RECORD)
    home.write_members(2, MEMBERS)
    home.lock().release()
    assert modes(home) == {(True, 0o700), (False, 0o600)}


def test_a_home_behind_a_link_becomes_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o755)
    home = Home(tmp_path / "link")
    home.directory.symlink_to(tmp_path / "disk")
    home.prepare()
    assert stat.S_IMODE((tmp_path / "disk").stat().st_mode) == 0o700


def test_a_home_of_before_becomes_its_owners_alone(home: Home, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    outside.chmod(0o644)
    Journal.open(home.member_directory(2, "member-1") / "raft" / "journal").close()
    for path in home.directory.rglob("*"):
        if path not in (home.token_path, home.password_path):
            path.chmod(0o755 if path.is_dir() else 0o666)
    home.directory.chmod(0o755)
    (home.directory / "link").symlink_to(outside)
    home.prepare()
    (home.directory / "link").unlink()
    assert modes(home) == {(True, 0o700), (False, 0o600)}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["ray-token", "password"])
@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602, 0o604])
def test_a_secret_that_others_may_use_is_refused(home: Home, mode: int, name: str) -> None:
    home.write_record(RECORD)
    (home.directory / name).chmod(mode)
    for use in (home.prepare, home.read_record):
        with pytest.raises(
            ClusterError, match=f"can be used by others .mode {mode:04o}.; run `tocsin down`, remove it"
        ):
            use()


def test_secrets_are_made_once_and_fit_to_be_used(home: Home) -> None:
    made = read_password_file(home.password_path)
    home.ensure_secrets(2)
    assert read_password_file(home.password_path) == made
    assert home.token_path.read_text() != made


def test_a_secret_that_is_no_plain_file_is_refused(home: Home, tmp_path: Path) -> None:
    home.token_path.rename(tmp_path / "token")
    home.token_path.symlink_to(tmp_path / "token")
    with pytest.raises(ClusterError, match="is no plain file"):
        home.prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_another_user_is_refused(home: Home) -> None:
    os.chown(home.token_path, 12345, 12345)
    with pytest.raises(ClusterError, match="belongs to user 12345, not to 0"):
        home.prepare()
    home.token_path.unlink()
    os.chown(home.directory, 12345, 12345)
    with pytest.raises(ClusterError, match="belongs to user 12345, not to 0 who runs Tocsin; give it to the right one"):
        home.prepare()


@pytest.mark.parametrize("text", ["", "5", "{}", "[1]", '{"ray_address": 5}', "{", "\xff"])
def test_a_record_that_cannot_be_read_is_one_message(home: Home, text: str) -> None:
    home.record_path.write_text(text, encoding="latin-1")
    for use in (home.read_record, lambda: stop_cluster(home), lambda: start_cluster(home, ClusterOptions())):
        with pytest.raises(ClusterError, match=r"cannot be read .*then remove the file"):
            use()


def test_a_record_says_what_was_started_until_it_is_ended(home: Home) -> None:
    home.write_record(RECORD)
    assert home.stored_record() == RECORD
    assert home.read_record() == RECORD
    assert stop_cluster(home)
    assert not stop_cluster(home)
    with pytest.raises(NotRunningError, match="start one with `tocsin up`"):
        home.read_record()


@pytest.mark.parametrize("text", ["", "5", '{"member-1": 5}', '["member-1"]'])
def test_members_that_cannot_be_read_are_one_message(home: Home, text: str) -> None:
    home.write_members(2, MEMBERS)
    home.group_path(2).write_text(text)
    with pytest.raises(ClusterError, match=r"cannot be read .*choose another --group"):
        start_cluster(home, ClusterOptions())


def test_another_number_of_members_is_refused_before_anything_starts(home: Home) -> None:
    home.write_members(2, MEMBERS)
    with pytest.raises(ClusterError, match="has 3 members, not 5; ask for as many"):
        start_cluster(home, ClusterOptions(member_count=5))
    assert psutil.Process().children(recursive=True) == []
    assert home.stored_record() is None
    assert json.loads(home.group_path(2).read_text()) == MEMBERS


def test_ending_a_cluster_that_is_none_says_so(tmp_path: Path) -> None:
    ended = CliRunner().invoke(cli, ["--home", str(tmp_path), "down"])
    assert (ended.exit_code, ended.stdout) == (0, f"no cluster runs in {tmp_path}\n")


def test_the_home_of_one_of_several_machines_starts_at_its_address_only(home: Home) -> None:
    settings = NodeSettings(
        name="node-2",
        group_id=2,
        home=str(home.directory),
        address="10.0.0.2:7100",
        raft_address="10.0.0.2:7101",
        members={"node-1": "10.0.0.1:7101", "node-2": "10.0.0.2:7101"},
        carries_ray=True,
    )
    settings.write(home.member_directory(2, "node-2"))
    with pytest.raises(ClusterError, match=r"one of several machines; give its address: --node-address 10.0.0.2:7100"):
        start_cluster(home, ClusterOptions())
    with pytest.raises(ClusterError, match=r"nodes at 10.0.0.2:7100, not at 10.0.0.3:7100; give the address"):
        start_cluster(home, ClusterOptions(member_count=1, node_address=("10.0.0.3", 7100)))
