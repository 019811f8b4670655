import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.auth import OAuthClientInformationFull, OAuthMetadata, OAuthToken, ProtectedResourceMetadata

from gateway.errors import ConfigError
from gateway.executors.oauth import tokens
from gateway.executors.oauth.tokens import Held, Login, Vault, token_key
from tests.oauth.fake import ACCESS, ISSUER, REFRESH, UPSTREAM, Fake

KEY = bytes(range(32))


def login(access: str = ACCESS, **changed: Any) -> Login:
    made = Login(
        UPSTREAM,
        OAuthMetadata.model_validate(Fake().metadata),
        ProtectedResourceMetadata.model_validate({"resource": UPSTREAM, "authorization_servers": [ISSUER]}),
        OAuthClientInformationFull(client_id="us", client_secret="planted-client-secret"),
        OAuthToken(access_token=access, refresh_token=REFRESH, expires_in=60),
        1_000.5,
    )
    return replace(made, **changed)


def vault(state: Path, name: str = "crm", key: bytes = KEY) -> Vault:
    return Vault(state, name, key)


def test_a_login_is_read_as_it_was_written(tmp_path: Path) -> None:
    for made in (login(), login(protected=None, expires_at=None)):
        stamp = vault(tmp_path).write(made)
        assert vault(tmp_path).read() == (made, stamp)
        assert vault(tmp_path).stamp() == stamp
    assert made.issuer == ISSUER


def test_where_nobody_logged_in_there_is_nothing(tmp_path: Path) -> None:
    assert vault(tmp_path).read() is None
    assert vault(tmp_path).stamp() is None


def test_files_are_for_their_owner_alone_and_hold_nothing_readable(tmp_path: Path) -> None:
    key = token_key(tmp_path)
    vault(tmp_path, key=key).write(login())
    folder = tmp_path / "tokens"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokens", "tokens.key"]
    assert [path.name for path in folder.iterdir()] == ["crm.sealed"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "crm.sealed", tmp_path / "tokens.key")]
    assert modes == [0o700, 0o600, 0o600]
    content = (folder / "crm.sealed").read_bytes()
    assert not any(word in content for word in (b"planted", b"as.example", b"crm.example"))


def test_no_repr_shows_what_is_secret(tmp_path: Path) -> None:
    shown = f"{login()!r} {vault(tmp_path)!r} {Held(login().client, login().tokens)!r}"
    assert "planted" not in shown
    assert str(KEY) not in shown


def test_a_changed_byte_anywhere_is_noticed(tmp_path: Path) -> None:
    place = vault(tmp_path)
    place.write(login())
    content = place.path.read_bytes()
    for at in range(0, len(content), 7):
        place.path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ConfigError, match=r"was changed|is no login of ours"):
            place.read()


def other_key(state: Path, place: Vault) -> Vault:
    return vault(state, key=bytes(32))


def other_name(state: Path, place: Vault) -> Vault:
    place.path.rename(place.path.with_name("files.sealed"))
    return vault(state, "files")


def emptied(state: Path, place: Vault) -> Vault:
    place.path.write_bytes(b"")
    return place


def foreign(state: Path, place: Vault) -> Vault:
    place.path.write_text('{"access_token": "planted"}')
    return place


def cut(state: Path, place: Vault) -> Vault:
    place.path.write_bytes(place.path.read_bytes()[:-1])
    return place


def padded(state: Path, place: Vault) -> Vault:
    place.path.write_bytes(place.path.read_bytes().ljust(2_000_000))
    return place


def open_to_others(state: Path, place: Vault) -> Vault:
    place.path.chmod(0o640)
    return place


def linked(state: Path, place: Vault) -> Vault:
    place.path.rename(state / "elsewhere")
    place.path.symlink_to(state / "elsewhere")
    return place


def of_another_version(state: Path, place: Vault) -> Vault:
    nonce = bytes(12)
    sealed = place._cipher.encrypt(nonce, b'{"resource": "planted"}', place._bound)
    place.path.write_bytes(tokens._MAGIC + nonce + sealed)
    return place


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (other_key, "was changed, is another upstream's, or was sealed with another key"),
        (other_name, "was changed, is another upstream's"),
        (emptied, "is no login of ours"),
        (foreign, "is no login of ours"),
        (cut, "was changed"),
        (padded, "is no login of ours"),
        (open_to_others, "open to others .*chmod 600"),
        (linked, "cannot be read"),
        (of_another_version, "holds no login that this version reads"),
    ],
)
def test_what_is_not_to_be_read_says_why_and_names_the_file(tmp_path: Path, spoil: Any, problem: str) -> None:
    place = vault(tmp_path)
    place.write(login())
    place = spoil(tmp_path, place)
    with pytest.raises(ConfigError, match=problem) as told:
        place.read()
    assert told.value.file == str(place.path)
    assert "planted" not in str(told.value)


def test_a_renewed_login_never_takes_the_place_of_one_made_meanwhile(tmp_path: Path) -> None:
    place = vault(tmp_path)
    known = place.write(login("old"))
    assert (renewed := place.replace(login("renewed"), known)) is not None
    newer = place.write(login("by a person"))
    assert place.replace(login("renewed again"), renewed) is None
    assert place.read() == (login("by a person"), newer)
    place.path.unlink()
    assert place.replace(login("renewed again"), newer) is None, "somebody took the login away"
    assert place.read() is None


def test_a_login_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = vault(tmp_path)
    place.write(login("old"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    for broken in ("fsync", "rename"):
        with monkeypatch.context() as patched:
            if broken == "fsync":
                patched.setattr(os, "fsync", full)
            else:
                patched.setattr(Path, "rename", lambda self, target: full(0))
            with pytest.raises(ConfigError, match="cannot be written: No space left"):
                place.write(login("new"))
        found = place.read()
        assert found is not None
        assert found[0] == login("old")
        assert [path.name for path in (tmp_path / "tokens").iterdir()] == ["crm.sealed"]


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        vault(tmp_path).write(login())


def test_what_root_writes_is_given_to_whom_the_state_folder_belongs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid, *, follow_symlinks: given.append(Path(path).name))
    vault(tmp_path, key=token_key(tmp_path)).write(login())
    assert [name.split(".")[1] if name.startswith(".") else name for name in given] == ["tokens", "tokens", "crm"]
    given.clear()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    vault(tmp_path).write(login())
    assert given == []


# The key


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: token_key(tmp_path), range(32)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.key"]
    assert token_key(tmp_path) in keys


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [(b"short", 0o600, "is no key"), (bytes(33), 0o600, "is no key"), (bytes(32), 0o644, "open to others")],
)
def test_a_key_that_is_none_is_not_used(tmp_path: Path, content: bytes, mode: int, problem: str) -> None:
    path = tmp_path / "tokens.key"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=problem):
        token_key(tmp_path)
    assert path.read_bytes() == content


def test_a_key_behind_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(bytes(32))
    (tmp_path / "tokens.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="cannot be read"):
        token_key(tmp_path)


def test_a_key_has_a_folder_to_lie_in(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        token_key(tmp_path / "none")


async def test_a_flow_holds_what_it_is_given() -> None:
    held = Held(None)
    assert (await held.get_client_info(), await held.get_tokens()) == (None, None)
    await held.set_client_info(login().client)
    await held.set_tokens(login().tokens)
    assert (await held.get_client_info(), await held.get_tokens()) == (login().client, login().tokens)
