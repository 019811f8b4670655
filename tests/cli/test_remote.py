"""`approvals … --url`: what goes over the wire, and what comes back for a person."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from gateway.cli import remote
from gateway.errors import BasculeError, ConfigError, Refused
from gateway.model import JsonObject
from tests.cli.commandline import Run

pytestmark = pytest.mark.promise("approval.elsewhere")
BASE = "https://gate.example"
Answering = Callable[[int, Any], list[httpx2.Request]]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Lets a gateway answer so, and keeps what it was asked."""
    client = httpx2.Client

    def answer(status: int, content: Any) -> list[httpx2.Request]:
        asked: list[httpx2.Request] = []

        def told(request: httpx2.Request) -> httpx2.Response:
            request.read()
            asked.append(request)
            return httpx2.Response(status, content=content if isinstance(content, bytes) else json.dumps(content))

        def made(**options: Any) -> httpx2.Client:
            return client(transport=httpx2.MockTransport(told), **options)

        monkeypatch.setattr(httpx2, "Client", made)
        return asked

    return answer


def test_an_answer_carries_the_token_and_three_members_and_nothing_of_the_key(answering: Answering) -> None:
    asked = answering(200, {"state": "granted"})
    said = {"verdict": "grant", "reason": "fine", "signature": "s"}
    told = remote.at(BASE, "t", "approvals_answer", approval="a/../b", approver="ann", **said)
    assert told == {"state": "granted"}
    assert str(asked[0].url) == f"{BASE}/approvals/a%2F..%2Fb"
    assert (asked[0].headers["authorization"], json.loads(asked[0].content)) == ("Bearer t", said)


def fault(code: str = "") -> JsonObject:
    return {"error": {"code": 1, "message": "why\x1b[2J", "data": {"code": code, "would_pass": "x"}}}


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (401, fault(), ConfigError),
        (403, fault("FORBIDDEN"), Refused),
        (403, fault("NEW"), BasculeError),
        (404, fault(), ConfigError),
        (409, fault(), ConfigError),
        (302, b"", BasculeError),
        (500, b"not json", BasculeError),
        (200, b"[]", BasculeError),
    ],
)
def test_what_went_wrong_is_said_and_steers_no_terminal(
    answering: Answering, status: int, content: Any, kind: type[BasculeError]
) -> None:
    asked = answering(status, content)
    with pytest.raises(kind) as problem:
        remote.at(BASE, "t", "approvals_show", approval="a1")
    assert "\x1b" not in str(problem.value)
    assert len(asked) == 1


@pytest.mark.parametrize("url", ["http://gate.example", "ftp://x", "gate.example", f"{BASE}/mcp", f"{BASE}?a=b", ""])
def test_a_token_goes_to_no_address_where_others_could_read_it(answering: Answering, url: str) -> None:
    asked = answering(200, {})
    with pytest.raises(ConfigError, match="--url should"):
        remote.at(url, "t", "approvals_list")
    assert asked == []


def test_loopback_needs_no_https_and_a_token_is_always_needed() -> None:
    assert remote.address("http://127.0.0.1:8484/") == "http://127.0.0.1:8484/approvals"
    with pytest.raises(ConfigError, match="the token is missing"):
        remote.at(BASE, None, "approvals_list")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("grant", "a1"), "--url needs --as NAME"),
        (("list", "--all"), "--all belongs"),
        (("list",), "the token is missing"),
    ],
)
def test_what_the_command_does_not_do_from_elsewhere_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], problem: str
) -> None:
    monkeypatch.delenv("BASCULE_TOKEN", raising=False)
    ended = run("approvals", *words, "--url", BASE)
    assert (ended.status, problem in ended.err) == (2, True)
