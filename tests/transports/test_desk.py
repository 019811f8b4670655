"""Approvals over real HTTP: a gateway's own HTTP face on a socket, real policy, real signatures, a real log."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway import admin, approving
from gateway.approvals import signing
from gateway.cli import remote
from gateway.identity.tokens import Authenticator
from gateway.model import JsonObject
from gateway.settings import PrincipalSettings
from gateway.transports.desk import LARGEST, Desk
from gateway.transports.http import App
from tests.agreeing import APPROVE, PASSPHRASE, POLICY, Person, enroll, waiting
from tests.path import DataPath, data_path
from tests.transports.exchange import Exchange
from tests.transports.test_protocol import Serving, one_answer, serving

pytestmark = pytest.mark.promise("approval.elsewhere")
ALICE, BOB, AGENT = Person.enrolled("alice"), Person.enrolled("bob"), Person.enrolled("agent")
UNKNOWN = "0198c0de-0000-7000-8000-000000000001"
TENANTS = {"alice": "default", "bob": "other", "agent": "default", "eve": "default"}


@dataclass
class Place:
    """A gateway with one request that waits, and its socket."""

    path: DataPath
    socket: Serving
    approval: str

    async def ask(self, method: str, path: str, body: Any = None, who: str = "alice", **more: str) -> tuple[int, Any]:
        lines = {"Host": "localhost", "Authorization": f"Bearer token-of-{who}", "Content-Type": "application/json"}
        lines |= {name.replace("_", "-"): value for name, value in more.items()}
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        reader, writer = await self.socket.open()
        head = f"{method} {path} HTTP/1.1\r\n{head}Content-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        status, said = await one_answer(reader)
        return status, json.loads(said) if said else None

    async def signed(self, person: Person = ALICE, verdict: str = "grant", **over: Any) -> JsonObject:
        """The body of an answer, made as an approver's own machine makes it."""
        _, shown = await self.ask("GET", f"/approvals/{self.approval}")
        digest = signing.digest_of_shown(shown["asked"])
        said = {"approval": self.approval, "digest": digest, "verdict": verdict, "reason": "", **over}
        statement = signing.statement(origin=shown["origin"], expires=shown["expires"], **said)
        return {"verdict": verdict, "reason": "", "signature": signing.sign(person.pem, PASSPHRASE, statement)}


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    async with data_path(tmp_path, POLICY) as path:
        gw = path.gw
        enroll(gw, ALICE, BOB, AGENT)
        known = {
            name: PrincipalSettings(token_sha256=hashlib.sha256(f"token-of-{name}".encode()).hexdigest(), tenant=tenant)
            for name, tenant in TENANTS.items()
        }
        settings = gw.settings.model_copy(update={"principals": known, "insecure_local": True})
        desk = Desk(partial(admin.waiting_for, gw), partial(admin.shown_to, gw), partial(admin.answered_by, gw))
        app = App(Exchange().front, Authenticator(settings), settings, ready=lambda: True, desk=desk)
        await path.write()
        async with serving(app) as socket:
            yield Place(path, socket, await waiting(gw))


async def test_an_approver_lists_sees_and_grants_and_the_same_call_then_runs(place: Place) -> None:
    status, listed = await place.ask("GET", "/approvals")
    assert (status, [one["approval"] for one in listed["approvals"]]) == (200, [place.approval])
    status, told = await place.ask("POST", f"/approvals/{place.approval}", await place.signed())
    assert (status, told["state"], told["approver"], told["signed"]) == (200, "granted", "alice", True)
    reply = await place.path.write()
    assert reply.result is not None
    assert not reply.result.get("isError")
    status, fault = await place.ask("POST", f"/approvals/{place.approval}", await place.signed())
    assert (status, "cannot be answered" in fault["error"]["message"]) == (409, True)


@pytest.mark.parametrize("who", ["bob", "eve"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_foreign_and_unknown_requests_are_told_apart_by_nothing(place: Place, who: str, method: str) -> None:
    body = None if method == "GET" else await place.signed()
    told = [await place.ask(method, f"/approvals/{one}", body, who) for one in (place.approval, UNKNOWN, "x", "x/y")]
    assert {status for status, _ in told} == {404}
    assert all(one == told[0] for one in told)
    assert told[0] == await place.ask(method, f"/approvals/{UNKNOWN}", body, "alice")


async def test_who_is_no_approver_finds_nothing_here_and_another_tenants_list_is_empty(place: Place) -> None:
    assert (await place.ask("GET", "/approvals", who="eve"))[0] == 404
    assert await place.ask("GET", "/approvals", who="bob") == (200, {"approvals": []})


@pytest.mark.parametrize(
    ("over", "person"),
    [
        ({}, BOB),
        ({"approval": UNKNOWN}, ALICE),
        ({"digest": "sha256:00"}, ALICE),
        ({"reason": "other"}, ALICE),
    ],
)
async def test_a_signature_over_anything_else_or_by_anybody_else_does_not_count(
    place: Place, over: JsonObject, person: Person
) -> None:
    body = await place.signed(person, **over)
    status, fault = await place.ask("POST", f"/approvals/{place.approval}", body)
    assert (status, fault["error"]["data"]["code"]) == (403, "FORBIDDEN")
    assert await waiting(place.path.gw) == place.approval


async def test_an_unsigned_answer_does_not_count(place: Place) -> None:
    body = {"verdict": "grant", "reason": "", "signature": ""}
    status, fault = await place.ask("POST", f"/approvals/{place.approval}", body)
    assert (status, fault["error"]["data"]["code"]) == (403, "FORBIDDEN")


async def test_who_asked_cannot_agree_and_the_refusal_is_recorded(place: Place) -> None:
    status, fault = await place.ask("POST", f"/approvals/{place.approval}", await place.signed(AGENT), "agent")
    assert (status, fault["error"]["data"]["code"] in {"POLICY_DENIED", "NO_RULE", "FORBIDDEN"}) == (403, True)
    tail = await admin.audit_tail(place.path.gw.archive, operator="os:tester")
    assert "approval.refused" in json.dumps(tail)


GOOD = {"verdict": "grant", "reason": "", "signature": "x"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{}", 400),
        (GOOD | {"more": ""}, 400),
        (GOOD | {"reason": None}, 400),
        (GOOD | {"reason": {"a": []}}, 400),
        (b"[" * 5000, 400),
        (b'{"verdict":"deny","verdict":"grant","reason":"","signature":""}', 400),
        (b'{"verdict":"grant","reason":"\\ud800","signature":"x"}', 400),
        (GOOD | {"verdict": "maybe"}, 409),
        (GOOD | {"reason": "x" * 1001}, 409),
        (b" " * (LARGEST + 1), 413),
    ],
)
async def test_a_body_is_read_strictly(place: Place, body: Any, status: int) -> None:
    assert (await place.ask("POST", f"/approvals/{place.approval}", body))[0] == status
    assert await waiting(place.path.gw) == place.approval


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
    ],
)
async def test_strangers_and_foreign_pages_are_turned_away(place: Place, lines: dict[str, str], status: int) -> None:
    assert (await place.ask("GET", "/approvals", **lines))[0] == status
    assert (await place.ask("POST", f"/approvals/{place.approval}", GOOD, **lines))[0] == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_what_a_form_of_a_page_can_send_is_not_read(place: Place, kind: str) -> None:
    assert (await place.ask("POST", f"/approvals/{place.approval}", GOOD, Content_Type=kind))[0] == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_not_allowed(place: Place, method: str) -> None:
    assert (await place.ask(method, "/approvals"))[0] == 405


async def test_an_unforeseen_fault_says_nothing_of_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise RuntimeError("secret")

    monkeypatch.setattr(place.path.gw.requests, "opened", broken)
    status, fault = await place.ask("GET", f"/approvals/{place.approval}")
    assert (status, "secret" in json.dumps(fault)) == (500, False)


async def test_the_commands_own_client_sees_and_answers_here(place: Place) -> None:
    base, said = f"http://127.0.0.1:{place.socket.socket.getsockname()[1]}", await place.signed(verdict="deny")

    async def ask(action: str, **given: Any) -> JsonObject:
        return await asyncio.to_thread(remote.at, base, "token-of-alice", action, **given)

    shown = await ask("approvals_show", approval=place.approval)
    assert signing.digest_of_shown(shown["asked"]) == shown["digest"]
    told = await ask("approvals_answer", approval=place.approval, approver="alice", **said)
    assert told["state"] == "denied"
    assert await ask("approvals_list") == {"approvals": []}
