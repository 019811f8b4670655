"""What an approver signs, and the key they sign with. Pure.

A signature covers one verdict on one exact proposal at one gateway: nothing else can be made of it. The key file is
an encrypted PKCS#8 PEM below three lines of ours. What encrypts it is not the passphrase but what scrypt makes of it:
whoever can read the file pays 128 MiB and some tenths of a second for every passphrase they try.
"""

import os
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final

import rfc8785
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from gateway.approvals import request
from gateway.errors import ConfigError
from gateway.model import JsonObject

VERDICTS: Final = ("grant", "deny")
COVERED: Final = frozenset(
    {
        "tenant",
        "principal",
        "person",
        "upstream",
        "kind",
        "name",
        "arguments",
        "questions",
        "answers",
        "meta",
        "pin",
        "manifest",
        "bundle",
    }
)
"""What a proposal consists of: no less can be judged, and more could not have been shown."""
_PREFIX: Final = "ed25519:"
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_SALT_BYTES: Final = 16
_MEMORY_COST: Final = 2**17
_FILE: Final = re.compile(
    rb"bascule approver key 1\npublic (?P<public>\S+)\nscrypt (?P<salt>[A-Za-z0-9+/]{22}==)\n"
    rb"sha256 (?P<sum>[0-9a-f]{64})\n"
    rb"(?P<pem>-----BEGIN ENCRYPTED PRIVATE KEY-----\n.+)",
    re.DOTALL,
)


def statement(*, origin: str, approval: str, digest: str, verdict: str, expires: int, reason: str) -> bytes:
    """The bytes an approver signs: canonical JSON (RFC 8785).

    Raises:
        ValueError: no such verdict, or a member has no canonical form.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"a verdict is one of: {', '.join(VERDICTS)}")
    stated: JsonObject = {
        "bascule/approval": 1,
        "origin": origin,
        "approval": approval,
        "digest": digest,
        "verdict": verdict,
        "expires": expires,
        "reason": reason,
    }
    try:
        return rfc8785.dumps(stated)
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise ValueError("what would be signed has no canonical form") from error


def digest_of_shown(asked: JsonObject) -> str:
    """The digest of the proposal a person was shown: what they sign is this, never what a gateway says it is.

    Raises:
        ValueError: it lacks a member, has one that was not shown, or has no canonical form.
    """
    proposal = asked.get("proposal")
    if not isinstance(proposal, dict) or proposal.keys() != COVERED:
        raise ValueError("it is not a proposal as this version knows it")
    return request.digest(proposal)


def new_key(passphrase: bytes) -> tuple[bytes, str]:
    """A key file's content, and the public key as it stands in `approvers`."""
    private = Ed25519PrivateKey.generate()
    public = _public_text(private)
    salt = os.urandom(_SALT_BYTES)
    encryption = serialization.BestAvailableEncryption(_stretched(passphrase, salt))
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    coded = b64encode(salt)
    head = b"bascule approver key 1\npublic %b\nscrypt %b\n" % (public.encode(), coded)
    return head + b"sha256 %b\n" % _checksum(public.encode(), coded, pem) + pem, public


def sign(pem: bytes, passphrase: bytes, statement: bytes) -> str:
    """The signature over a statement, in base64.

    Raises:
        ConfigError: the passphrase is wrong, or the file is no key of ours or damaged; it says which.
    """
    parts = _FILE.fullmatch(pem)
    if parts is None:
        raise ConfigError("it is not an approver's key: `bascule approvals enroll` makes one")
    if parts["sum"] != _checksum(parts["public"], parts["salt"], parts["pem"]):
        raise ConfigError("the key is damaged: put a copy of it back, or enroll anew")
    private = _private(parts["pem"], _stretched(passphrase, b64decode(parts["salt"])))
    return b64encode(private.sign(statement)).decode()


def verified(public: str, statement: bytes, signature: str) -> bool:
    """Whether the holder of this public key signed exactly this statement; anything malformed is False."""
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key(public))
        key.verify(_decoded(signature, _SIGNATURE_BYTES), statement)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def public_key(text: str) -> bytes:
    """The raw public key.

    Raises:
        ValueError: it is not one; the message says what would be right.
    """
    try:
        if text.startswith(_PREFIX):
            return _decoded(text.removeprefix(_PREFIX), _KEY_BYTES)
    except ValueError:
        pass
    raise ValueError(f"should be '{_PREFIX}' and 44 characters of base64, as `bascule approvals enroll` prints it")


def _decoded(text: str, length: int) -> bytes:
    """Base64 with one spelling: two texts for one signature would be two records of it."""
    raw = b64decode(text, validate=True)
    if len(raw) != length or b64encode(raw).decode() != text:
        raise ValueError(f"not {length} bytes in base64")
    return raw


def _private(pem: bytes, password: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The checksum held, so the file is as it was written.
        raise ConfigError("the passphrase is wrong") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("it is not an Ed25519 key: `bascule approvals enroll` makes one")
    return key


def _public_text(private: Ed25519PrivateKey) -> str:
    return _PREFIX + b64encode(private.public_key().public_bytes_raw()).decode()


def _stretched(passphrase: bytes, salt: bytes) -> bytes:
    made = Scrypt(salt=salt, length=_KEY_BYTES, n=_MEMORY_COST, r=8, p=1).derive(passphrase)
    return b64encode(made)


def _checksum(*parts: bytes) -> bytes:
    return sha256(b"\n".join(parts)).hexdigest().encode()
