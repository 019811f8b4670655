"""The log's keys: what signs heads, what seals payloads, and the public key that verifies.

Not a key store: three files in the state folder, for its owner alone.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit import note
from gateway.errors import ConfigError

SIGNING, PUBLIC, SEALING = "log.key", "log.pub", "seal.key"


@dataclass(frozen=True, slots=True)
class Keys:
    """`origin` is the log's name in every head; it is part of the public key."""

    origin: str
    vkey: str
    key_id: bytes
    signing: Ed25519PrivateKey = field(repr=False)
    sealing: bytes = field(repr=False)


def create(folder: Path, origin: str) -> Keys:
    """Make the three files, 0600; refuses where one of them exists."""
    for name in (SIGNING, PUBLIC, SEALING):
        if (folder / name).exists():
            raise ConfigError(f"{name} exists already: keys are never overwritten", file=str(folder / name))
    signing = Ed25519PrivateKey.generate()
    public = _public(origin, signing)
    pem = signing.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(folder / SIGNING, pem)
    _write(folder / SEALING, os.urandom(32))
    _write(folder / PUBLIC, public.encode() + b"\n")
    return load(folder, origin)


def load(folder: Path, origin: str) -> Keys:
    """The keys of a state folder.

    Raises:
        ConfigError: a file is missing, broken or open to others, or they do not belong together or to `origin`.
    """
    signing = _private(folder / SIGNING)
    sealing = _read(folder / SEALING)
    if len(sealing) != 32:
        raise ConfigError("not a sealing key: 32 bytes", file=str(folder / SEALING))
    written = public_key(folder)
    if written != _public(origin, signing):
        problem = f"this public key is not that of {SIGNING} for the origin {origin}: was audit.origin changed?"
        raise ConfigError(problem, file=str(folder / PUBLIC))
    return Keys(origin, written, note.verifier(written).key_id, signing, sealing)


def public_key(folder: Path) -> str:
    """The public key as text; all that verification needs."""
    try:
        return (folder / PUBLIC).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"no public key: {error}", file=str(folder / PUBLIC)) from error


def sealing_key(folder: Path) -> bytes | None:
    """The key that opens payloads, where this user may read it."""
    return _read(folder / SEALING) if os.access(folder / SEALING, os.R_OK) else None


def _public(origin: str, signing: Ed25519PrivateKey) -> str:
    try:
        return note.vkey(origin, signing.public_key().public_bytes_raw())
    except note.BadNote as error:
        raise ConfigError(f"audit.origin: {error}") from error


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError("not a private key in PEM without a password", file=str(path)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("not an Ed25519 key", file=str(path))
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise ConfigError(f"open to others (mode {mode:04o}): chmod 600 {path}", file=str(path))
            return file.read()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}; bascule init makes it", file=str(path)) from error


def _write(path: Path, content: bytes) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(path)) from error
