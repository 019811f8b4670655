"""What happens to a call, from proposal to reply."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.verify import verify
from gateway.errors import LogUnavailable
from gateway.kinds import Listed
from gateway.model import JsonObject, Limits, Mode, Outcome, Proposal, Reply
from gateway.registry import Terms
from tests import nouns
from tests.path import READ_NOTE, DataPath, Scripted, data_path

UNTIL = date(2199, 1, 1)


def told(reply: Reply) -> dict[str, Any]:
    assert reply.result is not None
    decision: dict[str, Any] = reply.result["_meta"]["bascule/decision"]
    return decision


async def test_an_allowed_call_runs_once_and_leaves_two_records(path: DataPath) -> None:
    reply = await path.write()
    assert reply.result is not None
    assert reply.result["content"] == [{"type": "text", "text": "done"}]
    assert len(path.executor.calls) == 1
    kinds = [leaf["kind"] for leaf in path.leaves() if not leaf["kind"].startswith("pin.")]
    assert kinds == ["call.intent", "call.settled"]
    assert path.leaves("call.settled")[0]["ending"] == "done"


@pytest.mark.promise("recorded-before-it-runs")
async def test_the_intent_is_durable_before_the_executor_is_asked(path: DataPath) -> None:
    seen: list[list[str]] = []

    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        seen.append([leaf["kind"] for leaf in path.leaves()])
        return nouns.outcome()

    path.executor.answer = answer
    await path.write()
    assert seen[0][-1] == "call.intent"


@pytest.mark.promise("refusal-explains-itself")
async def test_a_call_differing_only_in_an_argument_is_refused_and_nothing_reaches_the_executor(path: DataPath) -> None:
    await path.write("notes/a.md")
    reply = await path.write("private/a.md")
    decision = told(reply)
    assert decision["code"] == "POLICY_DENIED"
    assert decision["reasons"] == ["only notes/ may be written"]
    assert decision["would_pass"] == "a path under notes/"
    assert len(path.executor.calls) == 1
    (record,) = path.leaves("call.refused")
    assert record["code"] == "POLICY_DENIED"
    assert record["sealed"]["args"]["path"] == "private/a.md"


@pytest.mark.promise("fail-closed")
async def test_a_call_that_no_rule_allows_is_refused(path: DataPath) -> None:
    path.use('package bascule.call\nallow contains "never" if input.tool.name == "nothing"\n')
    assert told(await path.write())["code"] == "NO_RULE"
    assert path.executor.calls == []


async def test_arguments_the_pinned_schema_refuses_never_reach_the_policy(path: DataPath) -> None:
    reply = await path.call(arguments={"path": 7, "text": "x"})
    assert told(reply)["code"] == "SCHEMA"
    (record,) = path.leaves("call.refused")
    assert "decision" not in record


async def test_an_unknown_tool_gets_the_same_bytes_as_a_hidden_one(path: DataPath) -> None:
    path.use('package bascule.list\nhide contains "read_note" if input.principal.id == "agent"\n')
    hidden = await path.call("read_note", arguments={"path": "a"})
    missing = await path.call("no_such", arguments={"path": "a"})
    assert hidden == missing
    assert hidden.error == {"code": -32602, "message": "Unknown tool"}
    assert [leaf["code"] for leaf in path.leaves("call.refused")] == ["TOOL_UNKNOWN"] * 2


async def test_require_approval_refuses_while_nobody_can_approve(path: DataPath) -> None:
    path.use('package bascule.call\nrequire_approval contains "a person should see this" if input.tool.name != ""\n')
    assert told(await path.write())["code"] == "APPROVAL_REQUIRED"
    assert path.executor.calls == []


async def test_a_policy_time_out_shortens_the_call(path: DataPath) -> None:
    limits: list[Limits] = []

    async def answer(proposal: Proposal, bounds: Limits) -> Outcome:
        limits.append(bounds)
        return nouns.outcome()

    path.executor.answer = answer
    path.use(
        'package bascule.call\nallow contains "yes" if input.tool.name == "write_note"\n'
        'obligations contains {"type": "timeout", "seconds": 2} if input.tool.name == "write_note"\n'
        'obligations contains {"type": "timeout", "seconds": 9} if input.tool.name == "write_note"\n'
    )
    await path.write()
    assert limits[0].timeout_s == 2


async def test_an_unknown_obligation_refuses(path: DataPath) -> None:
    path.use(
        'package bascule.call\nallow contains "yes" if input.tool.name == "write_note"\n'
        'obligations contains {"type": "levitate"} if input.tool.name == "write_note"\n'
    )
    assert told(await path.write())["code"] == "OBLIGATION"
    assert path.executor.calls == []


async def test_a_client_that_hangs_up_cannot_cut_what_was_begun(path: DataPath) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        arrived.set()
        await go_on.wait()
        return nouns.outcome()

    path.executor.answer = answer
    task = asyncio.ensure_future(path.write())
    await arrived.wait()
    go_on.set()
    await task
    assert path.leaves("call.settled")[0]["ending"] == "done"


@pytest.mark.promise("fail-closed")
async def test_nothing_runs_while_the_log_cannot_commit(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    await path.write()

    async def append(*_: object) -> None:
        raise LogUnavailable("disk full")

    monkeypatch.setattr(path.gw.log, "append", append)
    for reply in (await path.write(), await path.write("private/a")):
        assert told(reply)["code"] == "LOG_UNAVAILABLE"
        assert "disk full" not in str(reply)
    assert len(path.executor.calls) == 1


async def test_shadow_lets_a_denied_call_pass_and_records_verdict_and_action_apart(tmp_path: Path) -> None:
    async with data_path(tmp_path, terms=Terms(Mode.SHADOW, UNTIL)) as path:
        reply = await path.write("private/a.md")
        decision = told(reply)
        assert (decision["effect"], decision["shadow"], decision["code"]) == ("allow", "deny", "POLICY_DENIED")
        assert len(path.executor.calls) == 1
        (record,) = path.leaves("call.intent")
        assert (record["decision"]["effect"], record["decision"]["action"]) == ("deny", "allow")


async def test_shadow_does_not_soften_what_the_schema_refuses(tmp_path: Path) -> None:
    async with data_path(tmp_path, terms=Terms(Mode.SHADOW, UNTIL)) as path:
        assert told(await path.call(arguments={"path": 7, "text": "x"}))["code"] == "SCHEMA"
        assert path.executor.calls == []


async def test_a_drifted_tool_is_refused_until_it_is_accepted(path: DataPath) -> None:
    await path.write()
    path.executor.offers = [nouns.WRITE_NOTE | {"description": "now also sends mail"}, READ_NOTE]
    path.gw.listed.clear()
    assert told(await path.write())["code"] == "TOOL_DRIFTED"
    assert len(path.executor.calls) == 1
    assert [leaf["tool"] for leaf in path.leaves("pin.drifted")] == ["write_note"]


@pytest.mark.promise("judged-is-what-runs")
async def test_a_call_runs_at_the_server_whose_definition_was_judged_or_nowhere(path: DataPath) -> None:
    await path.write()
    other = Scripted()
    append = path.gw.log.append

    async def swapped(*given: Any) -> Any:
        stored = await append(*given)
        path.gw.executors["notes"] = other  # as a reload does, while the intent is on its way to the disk
        return stored

    path.gw.log.append = swapped  # type: ignore[method-assign, assignment]
    await path.write()
    assert (len(path.executor.calls), len(other.calls)) == (2, 0)


async def test_an_upstream_that_is_replaced_while_its_tools_are_fetched_is_not_called(path: DataPath) -> None:
    async def replaced() -> list[JsonObject]:
        path.gw.executors["notes"] = Scripted()
        return path.executor.offers

    path.executor.lists = replaced
    assert told(await path.write())["code"] == "UPSTREAM_UNAVAILABLE"
    assert path.executor.calls == []


async def test_padding_an_argument_does_not_hide_what_a_rule_denies(path: DataPath) -> None:
    path.executor.offers = [{"name": "grant", "inputSchema": {"type": "object"}}]
    path.use(
        'package bascule.call\nallow contains "ok" if input.tool.name == "grant"\n'
        'deny contains "nobody grants admin" if "admin" in input.args.roles\n'
    )
    refused = await path.call("grant", arguments={"roles": ["admin"]})
    padded = await path.call("grant", arguments={"roles": ["admin", *["x" * 1000] * 70]})
    assert (told(refused)["code"], told(padded)["code"]) == ("POLICY_DENIED", "TOO_LARGE")
    assert path.executor.calls == []


@pytest.mark.parametrize("kind", ["resource", "subscription", "prompt", "completion", "other"])
async def test_what_is_refused_of_any_kind_leaves_an_intact_log_and_no_address_in_its_public_part(
    path: DataPath, kind: str
) -> None:
    path.executor.others = {
        Listed.RESOURCES: [{"uri": "file:///secret-name", "name": "n"}],
        Listed.PROMPTS: [{"name": "file:///secret-name"}],
    }
    arguments = {"ref": {"type": "ref/resource", "uri": "file:///secret-name"}} if kind == "completion" else {}
    name = "x/y" if kind == "other" else "file:///secret-name"
    reply = await path.call(name, kind=kind, arguments=arguments)
    assert reply.error is not None
    (refused,) = path.leaves("call.refused")
    if kind in ("resource", "subscription"):
        assert refused["tool"].startswith("resources/")
    await path.gw.log.head()
    keys_ = path.gw.archive
    report = verify(keys_.reader, keys_.vkey, sealing=path.sealing, bundle_digest=lambda _: "", now=0)
    assert [finding for finding in report.findings if "row" in str(finding)] == []


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("kind", ["resource", "prompt", "completion", "other"])
async def test_where_the_log_cannot_commit_a_refusal_has_the_form_of_its_method(
    path: DataPath, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    async def append(*_: object) -> None:
        raise LogUnavailable("disk full")

    monkeypatch.setattr(path.gw.log, "append", append)
    reply = await path.call("file:///a", kind=kind, arguments={})
    assert reply.result is None
    assert reply.error is not None
    assert reply.error["data"]["code"] == "LOG_UNAVAILABLE"
