"""What a run comes to once it has acted."""

from datetime import date
from typing import Any

import pytest

from gateway.audit import proof
from gateway.errors import Failed, LogUnavailable
from gateway.kinds import Listed
from gateway.model import Code, Limits, Outcome, Proposal, Reply
from tests import nouns
from tests.path import DataPath

UNTIL = date(2199, 1, 1)


def told(reply: Reply) -> dict[str, Any]:
    assert reply.result is not None
    decision: dict[str, Any] = reply.result["_meta"]["bascule/decision"]
    return decision


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


async def test_a_result_made_to_swell_its_record_is_settled_like_any_other(path: DataPath) -> None:
    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        return nouns.outcome(result={"content": [], "structuredContent": {"k" * 1_000_000: ["ghp_" + "a" * 36] * 100}})

    path.executor.answer = answer
    await path.write()
    (record,) = path.leaves("call.settled")
    assert record["ending"] == "done"
    assert len(str(record["sealed"]["input"])) < 100_000


@pytest.mark.parametrize("pointer", ["/", "/*", "/contents"])
async def test_what_is_redacted_whole_is_still_a_result_of_its_method(path: DataPath, pointer: str) -> None:
    path.use(
        'package bascule.call\nallow contains "yes" if input.resource.uri == "file:///a"\n'
        f'obligations contains {{"type": "redact", "pointers": ["{pointer}"]}} if input.resource.uri == "file:///a"\n'
    )
    path.executor.others = {Listed.RESOURCES: [{"uri": "file:///a", "name": "a"}]}

    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        return nouns.outcome(result={"contents": [{"uri": "file:///a", "text": "private"}]})

    path.executor.answer = answer
    reply = await path.call("file:///a", kind="resource", arguments={})
    assert reply.result is not None
    assert reply.result["contents"] == [{"uri": "bascule:redacted", "text": "[redacted]"}]
    assert "private" not in str(reply)
