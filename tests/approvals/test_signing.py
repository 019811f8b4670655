"""What an approver's signature covers, and what it is worth for anything else."""

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.approvals import request, signing
from gateway.approvals.signing import digest_of_shown, new_key, public_key, sign, statement, verified
from gateway.errors import ConfigError
from gateway.model import JsonObject

PASSPHRASE = b"four words are enough"
STATED: dict[str, Any] = {
    "origin": "example.org/bascule",
    "approval": "0198c0de-0000-7000-8000-000000000001",
    "digest": "sha256:" + "ab" * 32,
    "verdict": "grant",
    "expires": 1_800_000_000,
    "reason": "the customer was charged twice",
}
PROPOSAL: JsonObject = {
    "tenant": "default",
    "principal": "claude",
    "person": None,
    "upstream": "billing",
    "kind": "tool",
    "name": "refund",
    "arguments": {"amount": 100},
    "questions": None,
    "answers": None,
    "meta": None,
    "pin": "sha256:01",
    "manifest": "sha256:02",
    "bundle": "sha256:03",
}


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that cost no time: what is tested here is not what scrypt costs."""
    monkeypatch.setattr(signing, "_MEMORY_COST", 2**4)


def flipped(text: str) -> str:
    raw = bytearray(b64decode(text))
    raw[7] ^= 1
    return b64encode(raw).decode()


def test_a_statement_is_canonical_and_says_what_it_is() -> None:
    assert (
        statement(**STATED)
        == json.dumps({"bascule/approval": 1, **STATED}, sort_keys=True, separators=(",", ":")).encode()
    )


def test_what_was_signed_verifies_under_the_key_that_signed_it() -> None:
    pem, public = new_key(PASSPHRASE)
    assert verified(public, statement(**STATED), sign(pem, PASSPHRASE, statement(**STATED)))


@pytest.mark.promise("approval.signature")
@pytest.mark.parametrize(
    ("member", "other"),
    [
        ("origin", "example.org/other"),
        ("approval", "0198c0de-0000-7000-8000-000000000002"),
        ("digest", "sha256:" + "cd" * 32),
        ("verdict", "deny"),
        ("expires", 1_800_000_001),
        ("reason", ""),
    ],
)
def test_a_signature_is_good_for_nothing_else(member: str, other: object) -> None:
    pem, public = new_key(PASSPHRASE)
    signature = sign(pem, PASSPHRASE, statement(**STATED))
    assert not verified(public, statement(**{**STATED, member: other}), signature)


def test_a_signature_of_somebody_else_does_not_verify() -> None:
    (pem, _), (_, public) = new_key(PASSPHRASE), new_key(PASSPHRASE)
    assert not verified(public, statement(**STATED), sign(pem, PASSPHRASE, statement(**STATED)))


@pytest.mark.parametrize(
    ("member", "wrong"),
    [("verdict", "maybe"), ("verdict", ""), ("expires", 2**53), ("reason", "\ud800")],
)
def test_what_has_no_canonical_form_is_not_stated(member: str, wrong: object) -> None:
    with pytest.raises(ValueError, match=r"canonical|verdict"):
        statement(**{**STATED, member: wrong})


@pytest.mark.parametrize("change", ["", "AAAA", "é", "not base64!", "\n", " padded "])
def test_a_malformed_signature_does_not_verify(change: str) -> None:
    _, public = new_key(PASSPHRASE)
    assert not verified(public, statement(**STATED), change)


def test_a_signature_has_one_spelling() -> None:
    pem, public = new_key(PASSPHRASE)
    signature = sign(pem, PASSPHRASE, statement(**STATED))
    # The last four bits before the padding are in no byte: some decoders let them be anything.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    respelt = signature[:-3] + alphabet[alphabet.index(signature[-3]) + 1] + "=="
    assert b64decode(respelt) == b64decode(signature)
    assert not verified(public, statement(**STATED), respelt)
    assert not verified(public, statement(**STATED), signature + "\n")
    assert not verified(public, statement(**STATED), flipped(signature))


@pytest.mark.parametrize(
    "text",
    ["", "ed25519:", "ed25519:" + "A" * 44, "ed25519:" + b64encode(bytes(31)).decode(), "rsa:" + "A" * 43 + "=", "é"],
)
def test_what_is_no_public_key_is_told_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"'ed25519:' and 44 characters of base64"):
        public_key(text)
    assert not verified(text, b"", b64encode(bytes(64)).decode())


def test_a_public_key_stands_in_the_configuration_as_it_is_printed() -> None:
    _, public = new_key(PASSPHRASE)
    assert public == "ed25519:" + b64encode(public_key(public)).decode()
    assert len(public_key(public)) == 32


def test_the_private_key_is_in_no_file_without_its_passphrase() -> None:
    pem, public = new_key(PASSPHRASE)
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in pem
    assert public.encode() in pem
    assert PASSPHRASE not in pem


@pytest.mark.parametrize("wrong", [b"", b"four words are enough ", b"\xff", b"x" * 2000])
def test_a_wrong_passphrase_is_said(wrong: bytes) -> None:
    pem, _ = new_key(PASSPHRASE)
    with pytest.raises(ConfigError, match=r"^the passphrase is wrong$"):
        sign(pem, wrong, b"")


@pytest.mark.parametrize("line", [1, 2, 3, 5, 6])
def test_a_damaged_key_is_told_from_a_wrong_passphrase(line: int) -> None:
    lines = new_key(PASSPHRASE)[0].splitlines(keepends=True)
    other = b"1" if lines[line][20:21] == b"0" else b"0"
    lines[line] = lines[line][:20] + other + lines[line][21:]
    with pytest.raises(ConfigError, match=r"^the key is damaged"):
        sign(b"".join(lines), PASSPHRASE, b"")


@pytest.mark.parametrize("text", [b"", b"\x00\xff", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", b"x" * 5000])
def test_what_is_no_key_is_said(text: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^it is not an approver's key"):
        sign(text, PASSPHRASE, b"")


def test_a_key_of_another_kind_is_said() -> None:
    salt, public = b64encode(bytes(16)), b"ed25519:" + b"A" * 43 + b"="
    encryption = serialization.BestAvailableEncryption(signing._stretched(PASSPHRASE, bytes(16)))
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    head = b"bascule approver key 1\npublic %b\nscrypt %b\nsha256 %b\n"
    with pytest.raises(ConfigError, match=r"^it is not an Ed25519 key"):
        sign(head % (public, salt, signing._checksum(public, salt, pem)) + pem, PASSPHRASE, b"")


def test_every_passphrase_tried_costs_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert signing._MEMORY_COST * 8 * 128 >= 128 * 2**20


def test_the_digest_is_that_of_the_proposal_shown() -> None:
    shown = digest_of_shown({"proposal": PROPOSAL, "reasons": ["because"]})
    assert shown == request.digest(PROPOSAL)
    assert digest_of_shown({"proposal": dict(reversed(PROPOSAL.items()))}) == shown


@pytest.mark.parametrize("member", sorted(PROPOSAL))
def test_every_member_of_a_proposal_is_in_its_digest(member: str) -> None:
    changed = {**PROPOSAL, member: "something else"}
    assert digest_of_shown({"proposal": changed}) != digest_of_shown({"proposal": PROPOSAL})


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"proposal": None},
        {"proposal": [1]},
        {"proposal": {**PROPOSAL, "also": 1}},
        {"proposal": {key: value for key, value in PROPOSAL.items() if key != "person"}},
        {"proposal": {**PROPOSAL, "arguments": {"n": 2**53}}},
        {"proposal": {**PROPOSAL, "arguments": {"n": "\ud800"}}},
        {"proposal": {**PROPOSAL, "arguments": {"n": float("inf")}}},
    ],
)
def test_what_is_no_proposal_has_no_digest(asked: JsonObject) -> None:
    with pytest.raises(ValueError, match=r"not a proposal|canonical"):
        digest_of_shown(asked)
