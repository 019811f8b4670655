"""C2SP signed notes and checkpoints: the text of a head, its signature, its verification. Pure.

Several signatures and unknown algorithms are expected: a witness adds its own line.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = 1
LIMIT = 1_000_000
SIGNATURES = 100
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
NAME = re.compile(r"[^\s+]+")


class BadNote(ValueError):
    """Not a note, or not one that the known key signed. The message says which."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key as its owner publishes it: `name+hash+key`."""

    name: str
    key_id: bytes
    key: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a head says."""

    origin: str
    size: int
    root: bytes


def key_id(name: str, public: bytes) -> bytes:
    """SHA-256(name || 0x0A || 0x01 || public key)[:4], as the specification has it."""
    return sha256(name.encode() + b"\n" + bytes([ED25519]) + public).digest()[:4]


def vkey(name: str, public: bytes) -> str:
    """The public key as text."""
    return f"{checked_name(name)}+{key_id(name, public).hex()}+{b64encode(bytes([ED25519]) + public).decode()}"


def checked_name(name: str) -> str:
    if not NAME.fullmatch(name) or CONTROL.search(name):
        raise BadNote("a key name has no spaces and no plus, and is not empty")
    return name


def verifier(text: str) -> Verifier:
    """Reads a public key; BadNote where it is none or its hash is not its own."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise BadNote("a public key is written name+hash+key")
    name, digest, encoded = parts
    key = _base64(encoded)
    if len(key) != 33 or key[0] != ED25519:
        raise BadNote("not an Ed25519 key")
    if key_id(checked_name(name), key[1:]).hex() != digest:
        raise BadNote("the key's hash is not that of its name and bytes")
    return Verifier(name, key_id(name, key[1:]), Ed25519PublicKey.from_public_bytes(key[1:]))


def checkpoint(origin: str, size: int, root: bytes) -> str:
    """The text of a head, as signed."""
    return f"{origin}\n{size}\n{b64encode(root).decode()}\n"


def sign(text: str, name: str, identity: bytes, signer: Callable[[bytes], bytes]) -> str:
    """The note: the text and one signature line. HOT"""
    return f"{text}\n\u2014 {name} {b64encode(identity + signer(text.encode())).decode()}\n"


def open_note(note: str, known: Verifier) -> str:
    """The text of a note that `known` signed. Lines of other keys are passed over, a wrong one of its own is not."""
    text, lines = _split(note)
    verified = False
    for line in lines:
        name, signature = _signature(line)
        if name != known.name or signature[:4] != known.key_id:
            continue
        try:
            known.key.verify(signature[4:], text.encode())
        except InvalidSignature:
            raise BadNote(f"the signature of {known.name} does not verify") from None
        verified = True
    if not verified:
        raise BadNote(f"no signature by {known.name}+{known.key_id.hex()}")
    return text


def open_checkpoint(note: str, known: Verifier) -> Checkpoint:
    """The head in a note that `known` signed under its own name."""
    found = parse_checkpoint(open_note(note, known))
    if found.origin != known.name:
        raise BadNote(f"the head is of {found.origin}, not of {known.name}")
    return found


def parse_checkpoint(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise BadNote("a head is origin, size and root, a line each")
    origin, size, root = lines[:3]
    if not SIZE.fullmatch(size):
        raise BadNote("the size of a head is a decimal without leading zeroes")
    digest = _base64(root)
    if len(digest) != 32:
        raise BadNote("the root of a head is 32 bytes")
    return Checkpoint(origin, int(size), digest)


def _split(note: str) -> tuple[str, Sequence[str]]:
    if len(note) > LIMIT or CONTROL.search(note):
        raise BadNote("too long, or holds a control character")
    text, blank, signatures = note.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise BadNote("a note is a text, an empty line and signatures")
    lines = signatures[:-1].split("\n")
    if len(lines) > SIGNATURES:
        raise BadNote("too many signatures")
    return text + "\n", lines


def _signature(line: str) -> tuple[str, bytes]:
    mark, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    signature = _base64(encoded)
    if mark != "\u2014" or len(signature) < 5:
        raise BadNote("a line after the text is no signature")
    return checked_name(name), signature


def _base64(text: str) -> bytes:
    try:
        decoded = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadNote("not base64") from None
    if b64encode(decoded).decode() != text:
        raise BadNote("not canonical base64")
    return decoded
