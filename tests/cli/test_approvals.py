"""`approvals …`: what is asked, what is shown, and that only what was shown is signed."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.approvals import signing
from gateway.approvals.signing import digest_of_shown, new_key, statement, verified
from gateway.cli import approvals, approver
from gateway.model import JsonObject
from tests.cli.commandline import Run

APPROVAL = "0198c0de-0000-7000-8000-000000000001"
PASSPHRASE = b"four words are enough"
HOSTILE = "\x1b[2J\x1b]0;granted\x07\r\nstate: granted\u202e\u2066\u200f\u2028\x9b0m\x7f"
Asked = list[tuple[str, JsonObject]]


def request(**changed: Any) -> JsonObject:
    """A request as the gateway shows it; `changed` are members of its proposal, digested as they are."""
    proposal = {
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
        **changed,
    }
    asked = {"proposal": proposal, "reasons": ["more than 50"], "effects": ["money"], "reversal": "none", "undo": None}
    return {
        "approval": APPROVAL,
        "run": "r1",
        "state": "waiting",
        "digest": digest_of_shown(asked),
        "origin": "example.org/bascule",
        "opened": 1_795_400_000_000_000,
        "expires": 1_795_403_600,
        "asked": asked,
        "demands": [{"from": ["ops"], "quorum": 1}],
        "answers": [],
    }


class Gateway:
    """Stands in for the actions: shows one request, and keeps what it was asked."""

    def __init__(self) -> None:
        self.request = request()
        self.after = "granted"
        self.asked: Asked = []

    def __call__(self, action: str, _: Path | None, **given: Any) -> JsonObject:
        self.asked.append((action, given))
        match action:
            case "approvals_show":
                return self.request
            case "approvals_answer":
                return {"approval": APPROVAL, "state": self.after}
            case _:
                return {"approvals": [self.row(), self.row(principal=HOSTILE, state="granted")]}

    def row(self, **changed: Any) -> JsonObject:
        """One line of the list."""
        shown = {name: self.request[name] for name in ("approval", "run", "state", "opened", "expires")}
        named = {"principal": "claude", "upstream": "billing", "tool": "refund", "answers": 1, "needed": 2}
        return {**shown, **named, **changed}

    def answered(self) -> JsonObject:
        """What was answered."""
        action, given = self.asked[-1]
        assert action == "approvals_answer"
        return given


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    stand_in = Gateway()
    monkeypatch.setattr(approvals, "run_admin", stand_in)
    return stand_in


@pytest.fixture
def enrolled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """ann is enrolled; her public key."""
    monkeypatch.setattr(signing, "_MEMORY_COST", 2**4)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    pem, key = new_key(PASSPHRASE)
    folder = tmp_path / "bascule/approvers"
    folder.mkdir(parents=True)
    (folder / "ann.pem").write_bytes(pem)
    return key


@pytest.fixture
def public(enrolled: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """ann is enrolled, and sits at the terminal; her public key."""
    monkeypatch.setattr(approver, "passphrase", lambda _: PASSPHRASE)
    return enrolled


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[str]]:
    """What the person says to the question; the questions asked are kept."""

    def saying(answer: bool) -> list[str]:
        questions: list[str] = []

        def agreed(question: str) -> bool:
            questions.append(question)
            return answer

        monkeypatch.setattr(approver, "agreed", agreed)
        return questions

    return saying


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no terminal."""
    monkeypatch.setattr(approver, "TERMINAL", "/nonexistent")


def test_what_waits_is_listed_and_hostile_names_steer_nothing(run: Run, gateway: Gateway) -> None:
    lines = run("approvals", "list").out.splitlines()
    assert lines[0] == "approval\tstate\tprincipal\tupstream\ttool\tanswers\topened\texpires"
    assert lines[1] == (
        f"{APPROVAL}\twaiting\tclaude\tbilling\trefund\t1/2\t2026-11-23 02:13:20 UTC\t2026-11-23 03:13:20 UTC"
    )
    assert len(lines) == 3
    assert lines[2].replace("\t", "").isprintable()
    run("approvals", "list", "--all")
    assert gateway.asked == [("approvals_list", {"all": False}), ("approvals_list", {"all": True})]


@pytest.mark.parametrize("words", [("list",), ("show", APPROVAL)])
def test_json_says_the_same_in_ascii_that_no_terminal_obeys(run: Run, gateway: Gateway, words: tuple[str, ...]) -> None:
    gateway.request = request(arguments={HOSTILE: HOSTILE})
    out = run("approvals", *words, "--json").out
    assert out.replace("\n", "").isprintable()
    assert out.isascii()
    found = json.loads(out)
    assert found == gateway("approvals_" + words[0], None)


def test_a_request_is_shown_with_every_argument_and_signs_nothing(run: Run, gateway: Gateway) -> None:
    gateway.request = request(arguments={"body": "x" * 5000, "amount": 100})
    ended = run("approvals", "show", APPROVAL)
    assert ended.status == 0
    assert ended.out.index('    "body":\n') < ended.out.index('    "amount": 100\n')
    assert ended.out.count("x") >= 5000
    assert gateway.asked == [("approvals_show", {"approval": APPROVAL})]


def test_an_argument_full_of_escapes_is_shown_harmless(run: Run, gateway: Gateway) -> None:
    gateway.request = request(arguments={"note": HOSTILE})
    out = run("approvals", "show", APPROVAL).out
    assert out.replace("\n", "").isprintable()
    assert not set(out) & set("\u202e\u2066\u200f\u2028")
    assert "\nstate: granted" not in out
    assert "\\u001b[2J\\u001b]0;granted\\u0007\\r\\nstate: granted\\u202e" in out


@pytest.mark.parametrize("verdict", ["grant", "deny"])
def test_a_signature_covers_exactly_what_was_shown(
    run: Run, gateway: Gateway, public: str, says: Callable[[bool], list[str]], verdict: str
) -> None:
    questions = says(True)
    ended = run("approvals", verdict, APPROVAL, "--as", "ann", "--reason", "charged twice")
    assert ended.status == 0
    assert '    "amount": 100\n' in ended.out
    assert questions == [f"{verdict.title()} refund on billing for claude?"]
    given = gateway.answered()
    signature = given.pop("signature")
    assert given == {"approval": APPROVAL, "verdict": verdict, "reason": "charged twice", "approver": "ann"}
    stated = statement(
        origin="example.org/bascule",
        approval=APPROVAL,
        digest=digest_of_shown(gateway.request["asked"]),
        verdict=verdict,
        expires=1_795_403_600,
        reason="charged twice",
    )
    assert verified(public, stated, signature)


@pytest.mark.promise("approval.shown")
@pytest.mark.parametrize("words", [("--as", "ann"), ()])
@pytest.mark.parametrize(
    "lie",
    [
        {"digest": "sha256:" + "0" * 64},
        {"approval": "0198c0de-0000-7000-8000-000000000002"},
        {"asked": {}},
        {"asked": {"proposal": {"arguments": {}}}},
        {"asked": request(arguments={"amount": 1})["asked"]},
        {"asked": {"proposal": {**request()["asked"]["proposal"], "also": "hidden"}}},
    ],
)
def test_what_is_not_what_its_digest_says_is_neither_shown_nor_signed_nor_answered(
    run: Run, gateway: Gateway, public: str, lie: JsonObject, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(approver, "passphrase", asked.append)
    gateway.request = {**request(), **lie}
    for command in ("grant", "deny"):
        ended = run("approvals", command, APPROVAL, "--yes", *words)
        assert (ended.status, ended.out) == (3, "")
    assert run("approvals", "show", APPROVAL).status == 3
    assert [action for action, _ in gateway.asked] == ["approvals_show"] * 3
    assert asked == []


def test_without_a_name_the_answer_is_unsigned_and_the_gateway_judges_it(run: Run, gateway: Gateway) -> None:
    assert run("approvals", "grant", APPROVAL, "--yes").status == 0
    assert gateway.answered() == {
        "approval": APPROVAL,
        "verdict": "grant",
        "reason": "",
        "approver": "",
        "signature": "",
    }


def test_a_no_to_the_question_answers_nothing(
    run: Run, gateway: Gateway, public: str, says: Callable[[bool], list[str]]
) -> None:
    says(False)
    ended = run("approvals", "grant", APPROVAL, "--as", "ann")
    assert (ended.status, ended.out.splitlines()[-1]) == (1, "nothing was answered")
    assert [action for action, _ in gateway.asked] == ["approvals_show"]


def test_a_question_cannot_be_forged_by_the_name_of_a_tool(
    run: Run, gateway: Gateway, says: Callable[[bool], list[str]]
) -> None:
    questions = says(False)
    gateway.request = request(name=HOSTILE)
    run("approvals", "grant", APPROVAL)
    assert all(question.isprintable() for question in questions)


@pytest.mark.promise("approval.terminal")
@pytest.mark.parametrize("words", [("--as", "ann", "--yes"), ("--as", "ann"), ()])
def test_without_a_terminal_neither_question_nor_passphrase_is_passed_over(
    run: Run, gateway: Gateway, enrolled: str, nobody: None, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("BASCULE_PASSPHRASE", PASSPHRASE.decode())
    monkeypatch.setattr("sys.stdin", io.StringIO(f"y\n{PASSPHRASE.decode()}\n"))
    ended = run("approvals", "grant", APPROVAL, *words)
    assert (ended.status, "no terminal" in ended.err) == (2, True)
    assert [action for action, _ in gateway.asked] == ["approvals_show"]


@pytest.mark.parametrize("state", ["granted", "denied", "used", "expired", "void"])
def test_what_can_be_answered_no_more_asks_for_no_passphrase(
    run: Run, gateway: Gateway, public: str, nobody: None, state: str
) -> None:
    gateway.request["state"] = state
    ended = run("approvals", "deny", APPROVAL, "--as", "ann", "--yes")
    assert (ended.status, f"it is {state}" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--key", "x"), "--key needs --as"),
        (("--as", "../x"), "name is letters"),
        (("--as", "ben", "--yes"), "there is no such key"),
        (("--reason", "x" * 1001), "at most 1000"),
        (("--as", "ann", "--yes", "--reason", "\udce4"), "not text"),
    ],
)
def test_what_is_given_wrong_is_said_and_nothing_answered(
    run: Run, gateway: Gateway, public: str, words: tuple[str, ...], problem: str
) -> None:
    ended = run("approvals", "grant", APPROVAL, *words)
    assert (ended.status, problem in ended.err) == (2, True)
    assert "approvals_answer" not in [action for action, _ in gateway.asked]


@pytest.mark.parametrize(
    ("after", "told"),
    [("granted", "granted: the client that waits"), ("waiting", "counted; it waits for more"), ("denied", "denied")],
)
def test_it_is_said_what_came_of_the_answer(run: Run, gateway: Gateway, after: str, told: str) -> None:
    gateway.after = after
    assert run("approvals", "grant", APPROVAL, "--yes").out.splitlines()[-1].startswith(told)
