"""Notes and heads: read as strictly as the specification has it, and verified by programs that are not ours."""

import shutil
import subprocess  # noqa: TID251 - a real verifier
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.audit import note

# The example of the Go implementation, written long before this one.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = GO_TEXT + (
    "\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZ"
    "InNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

ORIGIN = "test.example/log"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
VKEY = note.vkey(ORIGIN, PUBLIC)
TEXT = note.checkpoint(ORIGIN, 7, bytes(32))
SIGNED = note.sign(TEXT, ORIGIN, note.key_id(ORIGIN, PUBLIC), KEY.sign)
LINE = SIGNED.rpartition("\n\n")[2]


def test_a_note_of_the_go_implementation_opens() -> None:
    assert note.open_note(GO_NOTE, note.verifier(GO_KEY)) == GO_TEXT


def test_a_head_says_origin_size_and_root() -> None:
    assert f"{ORIGIN}\n7\n{b64encode(bytes(32)).decode()}\n" == TEXT
    assert note.open_checkpoint(SIGNED, note.verifier(VKEY)) == note.Checkpoint(ORIGIN, 7, bytes(32))


@pytest.mark.promise("log-needs-no-trust")
def test_openssl_verifies_a_head(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    assert openssl, "this test needs the openssl command"
    (tmp_path / "text").write_text(TEXT)
    (tmp_path / "signature").write_bytes(b64decode(LINE.split(" ")[2])[4:])
    (tmp_path / "key.pem").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    command = [
        openssl,
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "key.pem",
        "-in",
        "text",
        "-sigfile",
        "signature",
    ]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "text").write_text(TEXT.replace("\n7\n", "\n8\n"))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_the_commands_of_the_documentation_verify_a_head(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "audit-format.md").read_text()
    script = next(block for block in document.split("```")[1::2] if "openssl" in block)
    (tmp_path / "log.pub").write_text(VKEY + "\n")
    for text, verified in ((SIGNED, True), (SIGNED.replace("\n7\n", "\n8\n"), False)):
        (tmp_path / "head.txt").write_text(text)
        done = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) is verified


def test_lines_of_other_keys_are_passed_over() -> None:
    witness = f"\u2014 witness.example {b64encode(b'wxyz' + bytes(72)).decode()}\n"
    same_name = f"\u2014 {ORIGIN} {b64encode(b'wxyz' + bytes(64)).decode()}\n"
    assert note.open_note(SIGNED + witness + same_name, note.verifier(VKEY)) == TEXT
    assert note.open_note(TEXT + "\n" + witness + LINE, note.verifier(VKEY)) == TEXT


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (SIGNED.replace("\n7\n", "\n8\n"), "does not verify"),
        (SIGNED.replace(ORIGIN + "\n7", "other.example\n7"), "does not verify"),
        (TEXT + "\n" + f"\u2014 {ORIGIN} {b64encode(b'wxyz' + bytes(64)).decode()}\n", "no signature by"),
        (
            SIGNED + f"\u2014 {ORIGIN} {b64encode(note.key_id(ORIGIN, PUBLIC) + bytes(64)).decode()}\n",
            "does not verify",
        ),
        (TEXT, "a note is"),
        ("", "a note is"),
        (SIGNED[:-1], "a note is"),
        (SIGNED.replace("\u2014", "-"), "no signature"),
        (SIGNED.replace(f"{ORIGIN} ", ""), "base64|no signature"),
        (SIGNED + "\u2014 x AAAA\n", "no signature"),
        (SIGNED + "\u2014 a+b " + b64encode(bytes(9)).decode() + "\n", "no plus"),
        (SIGNED + "\u2014 x !!!!\n", "not base64"),
        (SIGNED + "\u2014 x AAAAAAB=\n", "canonical"),
        (SIGNED.replace("\n7", "\r\n7"), "control"),
        ("\x00" + SIGNED, "control"),
        (SIGNED + LINE * 100, "too many"),
        ("x" * note.LIMIT + SIGNED, "too long"),
    ],
)
def test_a_note_that_was_changed_or_is_none_does_not_open(changed: str, why: str) -> None:
    assert changed != SIGNED
    with pytest.raises(note.BadNote, match=why):
        note.open_note(changed, note.verifier(VKEY))


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n7\n",
        f"{ORIGIN}\n07\n{b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n-7\n{b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n\u0667\n{b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n{'9' * 40}\n{b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n7\n{b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n7\n{b64encode(bytes(32)).decode()}",
        f"\n7\n{b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n7\n{b64encode(bytes(32)).decode()}\n\nextension\n",
    ],
)
def test_a_text_that_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(note.BadNote):
        note.parse_checkpoint(text)


def test_extension_lines_are_allowed() -> None:
    assert note.parse_checkpoint(TEXT + "anything\n").size == 7


def test_a_head_of_another_log_is_refused_though_the_key_signed_it() -> None:
    text = note.checkpoint("other.example", 7, bytes(32))
    signed = note.sign(text, ORIGIN, note.key_id(ORIGIN, PUBLIC), KEY.sign)
    with pytest.raises(note.BadNote, match=r"of other\.example"):
        note.open_checkpoint(signed, note.verifier(VKEY))


@pytest.mark.parametrize(
    "text",
    ["", "a+b", "name+00000000+AA==", GO_KEY.replace("c74f20a3", "c74f20a4"), GO_KEY.replace("Peter", "Petra"),
     GO_KEY.replace("+AR", "+AQ"), f"name+00000000+{b64encode(bytes([6]) + bytes(32)).decode()}", "na me+0+0",
     GO_KEY + "!"],
)  # fmt: skip
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(note.BadNote):
        note.verifier(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x01b"])
def test_a_key_name_holds_no_space_and_no_plus(name: str) -> None:
    with pytest.raises(note.BadNote):
        note.vkey(name, PUBLIC)
