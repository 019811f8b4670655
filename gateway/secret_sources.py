"""Where secrets are kept besides files and the environment: the system's keyring."""

import importlib
import threading
from collections.abc import Callable

UNLOCK_SECONDS = 60.0
"""How long somebody may take to unlock it: where nobody sees the question, a start must not hang on it."""


def from_keyring(name: str) -> str:
    """The secret that the keyring holds under `SERVICE/NAME`.

    Raises:
        ValueError: there is no keyring to ask, it is locked, or it holds no such secret.
    """
    service, slash, user = name.partition("/")
    if not (service and slash and user):
        raise ValueError("keyring should be SERVICE/NAME")
    try:
        keyring = importlib.import_module("keyring")  # an extra: who names no secret in a keyring needs none
    except ImportError:
        raise ValueError("the keyring library is not installed: pip install 'bascule[keyring]'") from None
    secret, problem = _asked(lambda: keyring.get_password(service, user))
    if problem:
        raise ValueError(f"the keyring was asked for '{name}', but {problem}")
    if not isinstance(secret, str) or not secret:
        raise ValueError(f"the keyring holds no secret '{name}': keyring set {service} {user}")
    return secret


def _asked(get: Callable[[], object]) -> tuple[object, str]:
    """The secret, or why there is none in words of ours: those of a backend may quote what it holds."""
    found: list[tuple[object, str]] = []

    def ask() -> None:
        try:
            found.append((get(), ""))
        except Exception as error:  # noqa: BLE001 - a backend is a plug-in over D-Bus, files or the system: it raises anything
            found.append((None, _reason(type(error))))

    waiting = threading.Thread(target=ask, daemon=True, name="bascule-keyring")
    waiting.start()
    waiting.join(UNLOCK_SECONDS)
    return found[0] if found else (None, f"nobody unlocked it within {UNLOCK_SECONDS:g} s")


def _reason(kind: type[Exception]) -> str:
    names = {base.__name__ for base in kind.__mro__}
    if "NoKeyringError" in names:
        return "this machine has none that can be used (`keyring diagnose` says more)"
    if names & {"KeyringLocked", "InitError"}:
        return "it is locked: unlock it, then start again"
    return f"it failed with {kind.__name__}"
