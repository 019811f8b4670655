"""`approvals enroll`, and the key of an approver: where it lies, and the passphrase that opens it.

Passphrases come from the terminal alone: variables, standard input and files are what an agent shares with the person.
"""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import json
import os
import re
import warnings
from getpass import GetPassWarning, getpass
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.terminal import say
from gateway.errors import ConfigError

TERMINAL: Final = "/dev/tty"
SHORTEST: Final = 8
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}")
_LARGEST: Final = 10_000

Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="The key. Default: bascule/approvers/NAME.pem in your configuration."),
]


def enroll(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    key: Key = None,
    role: Annotated[
        list[str] | None, typer.Option("--role", metavar="ROLE", help="A role that rules ask for; again for more.")
    ] = None,
) -> None:
    """Make an approver's key, and print what the operator adds to bascule.yaml.

    Example: bascule approvals enroll ann --role ops
    """
    from gateway.approvals.signing import new_key

    path = place(name, key)
    if path.exists() or path.is_symlink():
        raise ConfigError("there is a key already: it is never overwritten", file=str(path))
    pem, public = new_key(_chosen(name))
    _write(path, pem)
    say(f"the key is in {path}; nobody can restore a lost passphrase")
    say("The operator adds this to bascule.yaml and reloads the gateway (SIGHUP); from then on the key counts:")
    say("")
    say("approvers:")
    say(f"  {json.dumps(name)}: {{key: {json.dumps(public)}, roles: {json.dumps(role or [])}}}")


def place(name: str, key: Path | None) -> Path:
    """The file of an approver's key.

    Raises:
        ConfigError: the name is none that `approvers` takes.
    """
    from platformdirs import user_config_dir

    if not _NAME.fullmatch(name):
        raise ConfigError("an approver's name is letters, digits and _ . @ -, such as ann or ann@example.org")
    return key or Path(user_config_dir("bascule")) / "approvers" / f"{name}.pem"


def signature(path: Path, name: str, statement: bytes) -> str:
    """A statement signed by the key in a file, once its passphrase is given.

    Raises:
        ConfigError: the file cannot be read or is no key, there is no terminal, or the passphrase is wrong.
    """
    from gateway.approvals.signing import sign

    pem = _read(path)
    try:
        return sign(pem, passphrase(f"Passphrase of {name}'s key: "), statement)
    except ConfigError as problem:
        raise ConfigError(problem.problem, file=str(path)) from None


def passphrase(prompt: str) -> bytes:
    """What a person types, unseen.

    Raises:
        ConfigError: there is no terminal, or it would show what is typed.
    """
    _terminal()
    with warnings.catch_warnings():
        warnings.simplefilter("error", GetPassWarning)
        try:
            typed = getpass(prompt)
        except (GetPassWarning, EOFError):
            raise ConfigError("no passphrase was given: it is typed on a terminal") from None
    return typed.encode("utf-8", "surrogateescape")


def agreed(question: str) -> bool:
    """Whether the person at the terminal says yes.

    Raises:
        ConfigError: there is no terminal.
    """
    _terminal()
    with open(TERMINAL, "r+b", buffering=0) as terminal:
        terminal.write(f"{question} [y/N] ".encode())
        return terminal.readline().strip().lower() in {b"y", b"yes"}


def _terminal() -> None:
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        raise ConfigError("there is no terminal to ask a person on") from None


def _chosen(name: str) -> bytes:
    first = passphrase(f"New passphrase of {name}'s key: ")
    if len(first.strip()) < SHORTEST:
        raise ConfigError(f"a passphrase is at least {SHORTEST} characters; a few words are good")
    if passphrase("The same again: ") != first:
        raise ConfigError("the passphrases differ: nothing was made")
    return first


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        raise ConfigError("there is no such key: `bascule approvals enroll NAME` makes one", file=str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from None


def _write(path: Path, content: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(path)) from None
