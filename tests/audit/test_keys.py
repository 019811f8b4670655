"""The key files: for their owner alone, never overwritten, and belonging together."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.audit import keys, note
from gateway.errors import ConfigError

ORIGIN = "test.example/log"


def test_made_keys_load_again_and_are_for_their_owner_alone(tmp_path: Path) -> None:
    made = keys.create(tmp_path, ORIGIN)
    again = keys.load(tmp_path, ORIGIN)
    assert (again.vkey, again.sealing, again.origin) == (made.vkey, made.sealing, ORIGIN)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert keys.public_key(tmp_path) == made.vkey
    assert keys.sealing_key(tmp_path) == made.sealing
    signed = note.sign(note.checkpoint(ORIGIN, 0, bytes(32)), ORIGIN, again.key_id, again.signing.sign)
    assert note.open_checkpoint(signed, note.verifier(made.vkey)).size == 0


def test_no_key_is_shown_by_repr(tmp_path: Path) -> None:
    made = keys.create(tmp_path, ORIGIN)
    assert repr(made.sealing) not in repr(made)
    assert "signing" not in repr(made)


@pytest.mark.parametrize("name", ["log.key", "log.pub", "seal.key"])
def test_a_key_that_exists_is_never_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ConfigError, match="never overwritten"):
        keys.create(tmp_path, ORIGIN)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["log.key", "seal.key"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601])
def test_a_key_open_to_others_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    keys.create(tmp_path, ORIGIN)
    (tmp_path / name).chmod(mode)
    with pytest.raises(ConfigError, match=f"open to others.*chmod 600 .*{name}"):
        keys.load(tmp_path, ORIGIN)


@pytest.mark.parametrize("name", ["log.key", "log.pub", "seal.key"])
def test_a_missing_key_is_named(tmp_path: Path, name: str) -> None:
    keys.create(tmp_path, ORIGIN)
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=name):
        keys.load(tmp_path, ORIGIN)


def _pem_of_another_kind() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("log.key", b"", "not a private key"),
        ("log.key", b"\xff\xfe", "not a private key"),
        ("log.key", _pem_of_another_kind(), "not an Ed25519 key"),
        ("seal.key", bytes(31), "32 bytes"),
        ("log.pub", b"", "not that of log.key"),
        ("log.pub", b"\xff", "no public key"),
    ],
)
def test_a_broken_key_is_refused(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    keys.create(tmp_path, ORIGIN)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        keys.load(tmp_path, ORIGIN)


def test_keys_of_another_origin_are_refused(tmp_path: Path) -> None:
    keys.create(tmp_path, ORIGIN)
    with pytest.raises(ConfigError, match=r"audit\.origin"):
        keys.load(tmp_path, "other.example/log")


def test_an_origin_that_is_no_key_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"audit\.origin"):
        keys.create(tmp_path, "two words")
    assert list(tmp_path.iterdir()) == []


def test_keys_in_a_folder_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        keys.create(tmp_path / "none", ORIGIN)
    assert keys.sealing_key(tmp_path) is None
