"""Salted commitments, and the encryption of what they stand for. Pure but for the randomness.

One blob per leaf: erase it, and its commitments can be guessed no more while the tree stays whole.
"""

import hmac
import struct
from collections.abc import Mapping
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.audit.entropy import random_bytes

SALT = 16
KEY = 32
COUNTS = struct.Struct(">BH")
"""How many values, and the bytes of their names; then the names (commas between), the lengths, salts and values."""
NONCE = bytes(12)
"""Constant: each key, derived from a fresh 256-bit salt, encrypts once."""


class Unsealable(ValueError):
    """The blob was changed, belongs to another leaf, or was sealed with another key."""


def commit(values: Mapping[str, bytes]) -> tuple[dict[str, str], bytes]:
    """Commitments by name, SHA-256(salt || bytes) in hex, and the container that opens them. HOT"""
    salts = random_bytes(SALT * len(values))
    commitments: dict[str, str] = {}
    at = 0
    for name, value in values.items():
        commitments[name] = sha256(salts[at : at + SALT] + value).hexdigest()
        at += SALT
    names = ",".join(values).encode("ascii")
    lengths = struct.pack(f">{len(values)}I", *map(len, values.values()))
    return commitments, b"".join((COUNTS.pack(len(values), len(names)), names, lengths, salts, *values.values()))


def seal(master: bytes, leaf: str, container: bytes) -> tuple[bytes, bytes]:
    """Salt and ciphertext of a container; AES-256-GCM under a key of its own, bound to the leaf's id. HOT"""
    salt = random_bytes(KEY)
    return salt, AESGCM(hmac.digest(master, salt, "sha256")).encrypt(NONCE, container, leaf.encode())


def unseal(master: bytes, leaf: str, salt: bytes, sealed: bytes) -> dict[str, tuple[bytes, bytes]]:
    """Name to (salt, bytes)."""
    try:
        container = AESGCM(hmac.digest(master, salt, "sha256")).decrypt(NONCE, sealed, leaf.encode())
    except InvalidTag:
        raise Unsealable("changed, of another leaf, or sealed with another key") from None
    try:
        return _values(container)
    except (struct.error, ValueError):
        raise Unsealable("not a container of ours") from None


def opened(master: bytes, leaf: str, salt: bytes, sealed: bytes) -> dict[str, bytes]:
    """Name to bytes, for whoever only wants to read."""
    return {name: value for name, (_, value) in unseal(master, leaf, salt, sealed).items()}


def _values(container: bytes) -> dict[str, tuple[bytes, bytes]]:
    count, size = COUNTS.unpack_from(container)
    at = COUNTS.size + size
    names = container[COUNTS.size : at].decode("ascii").split(",") if count else []
    lengths = struct.unpack_from(f">{count}I", container, at)
    salts = at + 4 * count
    at = salts + SALT * count
    if at + sum(lengths) != len(container):
        raise ValueError("length")
    values: dict[str, tuple[bytes, bytes]] = {}
    for place, (name, length) in enumerate(zip(names, lengths, strict=True)):
        salt = container[salts + SALT * place : salts + SALT * (place + 1)]
        values[name] = (salt, container[at : at + length])
        at += length
    return values


def opens(commitment: object, salt: bytes, value: bytes) -> bool:
    """Whether a value is the one committed to."""
    return sha256(salt + value).hexdigest() == commitment
