import sys
import threading
from collections.abc import Callable
from types import ModuleType

import pytest

from gateway import secret_sources
from gateway.secret_sources import from_keyring


class KeyringError(Exception):
    """As the library names it."""


class KeyringLocked(KeyringError):
    """As the library names it."""


class NoKeyringError(KeyringError, RuntimeError):
    """As the library names it."""


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, str], object]], None]:
    """Stand in for the library: `holding(get_password)`."""

    def install(get_password: Callable[[str, str], object]) -> None:
        module = ModuleType("keyring")
        module.get_password = get_password  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "keyring", module)

    return install


Holding = Callable[[Callable[[str, str], object]], None]


def raising(error: Exception) -> Callable[[str, str], object]:
    def get_password(service: str, user: str) -> object:
        raise error

    return get_password


@pytest.mark.parametrize(("name", "asked"), [("crm/token", ("crm", "token")), ("crm/a/b", ("crm", "a/b"))])
def test_a_secret_is_taken_by_service_and_name(holding: Holding, name: str, asked: tuple[str, str]) -> None:
    holding(lambda service, user: "s3cret" if (service, user) == asked else None)
    assert from_keyring(name) == "s3cret"


@pytest.mark.parametrize("name", ["", "crm", "/token", "crm/"])
def test_a_name_without_service_or_user_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="keyring should be SERVICE/NAME"):
        from_keyring(name)


def test_a_library_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ValueError, match=r"not installed: pip install 'bascule\[keyring\]'"):
        from_keyring("crm/token")


@pytest.mark.parametrize(
    ("get_password", "problem"),
    [
        (lambda service, user: None, "holds no secret 'crm/token': keyring set crm token"),
        (lambda service, user: "", "holds no secret 'crm/token'"),
        (raising(NoKeyringError("planted-words")), "this machine has none that can be used"),
        (raising(KeyringLocked("planted-words")), "it is locked: unlock it"),
        (raising(OSError("planted-words")), "it failed with OSError"),
    ],
)
def test_what_is_in_the_way_is_told_in_our_words(
    holding: Holding, get_password: Callable[[str, str], object], problem: str
) -> None:
    holding(get_password)
    with pytest.raises(ValueError, match="keyring") as told:
        from_keyring("crm/token")
    assert problem in str(told.value)
    assert "planted" not in str(told.value)


def test_a_keyring_that_nobody_unlocks_does_not_hang_the_start(
    holding: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlocked = threading.Event()
    monkeypatch.setattr(secret_sources, "UNLOCK_SECONDS", 0.05)
    holding(lambda service, user: unlocked.wait() and "s3cret")
    with pytest.raises(ValueError, match=r"nobody unlocked it within 0\.05 s"):
        from_keyring("crm/token")
    unlocked.set()
