"""What a password makes, who accepts whom, and which password files are refused."""

import os
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from raft.credentials import FILE_NAME, SERVER_NAME, Credentials
from raft.errors import CredentialsError
from raft.passwords import make_password, read_password_file
from tests.support.credentials import PASSWORD, credentials, shaken


def password_file(path: Path, content: bytes = PASSWORD.encode(), mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_one_password_makes_one_authority_and_a_new_certificate_each_time() -> None:
    one, other = credentials(), Credentials.derive("g", PASSWORD)
    assert one.authority == other.authority
    assert (one.certificate != other.certificate, one.key != other.key) == (True, True)


def test_those_who_know_the_password_accept_each_other_by_the_newest_tls_only() -> None:
    caller, called = shaken(credentials().client_context(), Credentials.derive("g", PASSWORD).server_context())
    assert (caller.tls.version(), called.tls.version()) == ("TLSv1.3", "TLSv1.3")
    caller.tls.write(b"hello")
    called.incoming.write(caller.outgoing.read())
    assert called.tls.read() == b"hello"


@pytest.mark.parametrize(("group", "password"), [("h", PASSWORD), ("g", "another password of tests")])
def test_another_group_or_password_is_refused_by_both_sides(group: str, password: str) -> None:
    stranger = credentials(group, password)
    for client, server in ((stranger, credentials()), (credentials(), stranger)):
        with pytest.raises(ssl.SSLCertVerificationError):
            shaken(client.client_context(), server.server_context())


@pytest.mark.parametrize("is_known", [False, True])
def test_a_caller_without_a_certificate_is_refused(is_known: bool) -> None:
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if is_known:
        nobody.load_verify_locations(cadata=credentials().authority.decode())
    else:
        nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shaken(nobody, credentials().server_context())


def test_an_older_tls_is_refused() -> None:
    old = credentials().client_context()
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shaken(old, credentials().server_context())


def test_certificates_name_nobody_and_never_expire() -> None:
    made = credentials()
    found = [x509.load_pem_x509_certificate(pem) for pem in (made.authority, made.certificate)]
    assert [one.subject.rfc4514_string() for one in found] == ["CN=authority", "CN=node"]
    assert {(one.not_valid_before_utc.year, one.not_valid_after_utc.year) for one in found} == {(2020, 9999)}
    names = found[1].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [SERVER_NAME]


def test_a_node_cannot_sign_for_others() -> None:
    certificate = x509.load_pem_x509_certificate(credentials().certificate)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_directory_keeps_credentials_for_one_group_and_password(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    first = Credentials.load_or_derive(directory, "g", PASSWORD)
    assert Credentials.load_or_derive(directory, "g", PASSWORD) == first
    assert Credentials.load_or_derive(directory, "h", PASSWORD) != first
    second = Credentials.load_or_derive(directory, "g", PASSWORD)
    assert (second != first, second.authority) == (True, first.authority)


def test_what_is_kept_is_encrypted_and_its_owners_alone(tmp_path: Path) -> None:
    made = Credentials.load_or_derive(tmp_path / "a", "g", PASSWORD)
    kept = (tmp_path / "a" / FILE_NAME).read_bytes()
    assert (b"BEGIN" in kept, made.key in kept, PASSWORD.encode() in kept) == (False, False, False)
    modes = [stat.S_IMODE((tmp_path / "a" / name).stat().st_mode) for name in ("", FILE_NAME)]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize("spoilt", [b"", b"\1", b"\2" + bytes(100), bytes(1000), b"\1" + bytes(1000)])
def test_credentials_that_are_spoilt_or_planted_are_made_anew(spoilt: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(spoilt)
    made = Credentials.load_or_derive(tmp_path, "g", PASSWORD)
    shaken(made.client_context(), credentials().server_context())


def test_a_place_that_keeps_nothing_is_one_error(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(CredentialsError, match=r"credentials cannot be used: .*choose another directory"):
        Credentials.load_or_derive(tmp_path, "g", PASSWORD)


def test_no_file_is_left_after_contexts_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    credentials().server_context()
    assert list(tmp_path.iterdir()) == []


def test_keys_and_passwords_are_not_shown() -> None:
    assert "PRIVATE" not in repr(credentials())


def test_a_short_password_is_refused_with_the_way_out() -> None:
    with pytest.raises(CredentialsError, match="has 15 characters, needed are 16; make one with `openssl rand"):
        Credentials.derive("g", "x" * 15)


def test_made_passwords_are_long_and_differ() -> None:
    assert (len(make_password()), make_password() != make_password()) == (64, True)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_password_is_read_without_the_white_space_around_it(mode: int, tmp_path: Path) -> None:
    assert read_password_file(password_file(tmp_path / "p", b"  " + PASSWORD.encode() + b" \r\n", mode)) == PASSWORD


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_password_file_that_others_can_use_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=rf"p can be used by others \(mode {mode:04o}\); .* mode 0600"):
        read_password_file(password_file(tmp_path / "p", mode=mode))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_password_file_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(password_file(tmp_path / "p"), 12345, 12345)
    with pytest.raises(CredentialsError, match="belongs to user 12345, not to 0"):
        read_password_file(tmp_path / "p")


def test_only_a_plain_file_holds_a_password(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(password_file(tmp_path / "p"))
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir()
    for name in ("link", "pipe", "directory"):
        with pytest.raises(CredentialsError, match=f"{name} is no plain file"):
            read_password_file(tmp_path / name)
    with pytest.raises(CredentialsError, match=r"missing cannot be read \(No such file"):
        read_password_file(tmp_path / "missing")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" " * 20 + b"short", "cannot be used: the password has 5 characters"),
        (b"\xff" * 20, "is no text"),
        (b"x" * 5000, "it has 4096 bytes or more"),
    ],
)
def test_what_is_no_password_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=words):
        read_password_file(password_file(tmp_path / "p", content))
