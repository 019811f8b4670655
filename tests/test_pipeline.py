"""What happens to a call, from proposal to reply."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import proof
from gateway.audit.verify import verify
from gateway.errors import Failed, LogUnavailable
from gateway.kinds import Listed
from gateway.model import Code, JsonObject, Limits, Mode, Outcome, Proposal, Reply
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


async def test_a_result_the_policy_objects_to_is_withheld_and_recorded(path: DataPath) -> None:
    path.use(
        'package bascule.call\nallow contains "yes" if input.tool.name == "write_note"\n'
        'deny contains "never" if false\n'
    )
    folder = path.database.path.parent / "policies"
    (folder / "result.rego").write_text(
        "package bascule.result\n"
        'deny contains {"reason": "hidden text"} if {\n\tsome finding in input.result.findings\n'
        '\tfinding.where == "/content/0/text"\n}\n'
    )
    path.use((folder / "tests.rego").read_text())

    async def poisoned(proposal: Proposal, limits: Limits) -> Outcome:
        return nouns.outcome("fine\U000e0041\U000e0042")

    path.executor.answer = poisoned
    reply = await path.write()
    assert told(reply)["code"] == "RESULT_WITHHELD"
    assert "fine" not in str(reply)
    (record,) = path.leaves("call.settled")
    assert (record["ending"], record["code"]) == ("withheld", "RESULT_WITHHELD")
    assert "fine" in str(record["sealed"]["result"])
    assert path.gw.sessions.labels("principal:agent") == ()


async def test_what_was_read_from_an_untrusted_tool_labels_the_session(path: DataPath) -> None:
    await path.call("read_note", arguments={"path": "a"})
    assert path.gw.sessions.labels("principal:agent") == ()
    await path.write()
    assert path.gw.sessions.labels("principal:agent") == ("untrusted",)
    assert path.leaves("call.settled")[-1]["sealed"]["labels"] == ["untrusted"]


@pytest.mark.parametrize(
    ("failure", "ending", "state"),
    [
        (Failed(Code.UPSTREAM_UNAVAILABLE, "down"), "failed", "ended"),
        (Failed(Code.UPSTREAM_TIMEOUT, "late", unknown=True), "unknown", "frozen"),
        (Failed(Code.RESULT_WITHHELD, "too large"), "withheld", "ended"),
        (Failed(Code.UPSTREAM_INVALID, "odd", detail="sk-secret"), "failed", "ended"),
        (RuntimeError("sk-secret"), "unknown", "frozen"),
    ],
)
@pytest.mark.promise("every-ending-is-recorded")
async def test_every_failure_settles_its_run(path: DataPath, failure: Exception, ending: str, state: str) -> None:
    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        raise failure

    path.executor.answer = answer
    reply = await path.write()
    assert reply.result is not None
    assert reply.result["isError"] is True
    assert "sk-secret" not in str(reply)
    (record,) = path.leaves("call.settled")
    assert record["ending"] == ending
    (run,) = path.gw.archive.reader.runs(limit=10)
    assert (run.state, run.ending) == (state, ending)


async def test_a_read_that_timed_out_has_no_unknown_end(path: DataPath) -> None:
    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        raise Failed(Code.UPSTREAM_TIMEOUT, "late", unknown=True)

    path.executor.answer = answer
    await path.call("read_note", arguments={"path": "a"})
    (run,) = path.gw.archive.reader.runs(limit=10)
    assert (run.state, run.ending) == ("ended", "failed")


async def test_a_tool_that_reports_an_error_ends_failed_and_its_words_reach_the_caller(path: DataPath) -> None:
    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        return nouns.outcome("no such note", tool_error=True)

    path.executor.answer = answer
    reply = await path.write()
    assert "no such note" in str(reply)
    assert path.leaves("call.settled")[0]["ending"] == "failed"


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


async def test_a_result_whose_ending_cannot_be_recorded_is_not_told(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.call("read_note", arguments={"path": "a"})

    async def fails(*_: object) -> None:
        raise LogUnavailable("disk full")

    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        monkeypatch.setattr(path.gw.log, "append", fails)
        return nouns.outcome("the result")

    path.executor.answer = answer
    reply = await path.write()
    assert told(reply)["code"] == "OUTCOME_UNKNOWN"
    assert "the result" not in str(reply)


async def test_shadow_lets_a_denied_call_pass_and_records_verdict_and_action_apart(tmp_path: Path) -> None:
    async with data_path(tmp_path, terms=Terms(Mode.SHADOW, UNTIL)) as path:
        reply = await path.write("private/a.md")
        decision = told(reply)
        assert (decision["effect"], decision["shadow"], decision["code"]) == ("allow", "deny", "POLICY_DENIED")
        assert len(path.executor.calls) == 1
        (record,) = path.leaves("call.intent")
        assert (record["decision"]["effect"], record["decision"]["action"]) == ("deny", "allow")


@pytest.mark.promise("log-needs-no-trust")
async def test_a_client_that_asks_gets_the_proof_that_its_call_is_in_the_log(path: DataPath) -> None:
    reply = await path.call(meta={"bascule/receipt": True})
    assert reply.result is not None
    receipt = reply.result["_meta"]["bascule/receipt"]
    leaf = path.gw.archive.reader.leaf(receipt["index"])
    assert leaf is not None
    checked = proof.check_proof(receipt["proof"], leaf, path.gw.archive.vkey)
    assert checked.size > receipt["index"]
    assert receipt["head"].startswith("tests.example/bascule\n")
    assert told(reply)["run"] in leaf.decode()
    unasked = await path.write()
    assert unasked.result is not None
    assert "bascule/receipt" not in unasked.result["_meta"]


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


async def test_a_result_made_to_swell_its_record_is_settled_like_any_other(path: DataPath) -> None:
    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        return nouns.outcome(result={"content": [], "structuredContent": {"k" * 1_000_000: ["ghp_" + "a" * 36] * 100}})

    path.executor.answer = answer
    await path.write()
    (record,) = path.leaves("call.settled")
    assert record["ending"] == "done"
    assert len(str(record["sealed"]["input"])) < 100_000


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
