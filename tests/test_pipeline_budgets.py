"""Budgets in the data path: reserved with the intent, settled with the ending, told to policy and to callers."""

import asyncio
import re
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest

from gateway import approving, config, recovery
from gateway.allowances import BudgetSettings
from gateway.audit import records
from gateway.budgets import ledger
from gateway.errors import Failed, LogUnavailable
from gateway.model import Code, Ending, JsonObject, Limits, Mode, Outcome, Proposal, Reply
from gateway.registry import Terms
from gateway.runs import states
from gateway.storage.tables.budgets import listed
from tests import nouns
from tests.agreeing import APPROVE, Person, enroll, waiting
from tests.path import READ_NOTE, DataPath, data_path

PAGE = Path(__file__).parents[1] / "docs/budgets.md"
ALICE = Person.enrolled("alice", "ops")
DENY_ALL = 'package bascule.call\ndeny contains "no" if input.tool.name == "write_note"\n'


def told(reply: Reply) -> JsonObject:
    assert reply.result is not None
    decision: JsonObject = reply.result["_meta"]["bascule/decision"]
    return decision


def declare(path: DataPath, **budgets: dict[str, Any]) -> None:
    path.gw.budgets.declared = {name: BudgetSettings.model_validate(one) for name, one in budgets.items()}


def sums(path: DataPath) -> dict[str, tuple[int, int]]:
    return {row.budget: (row.used, row.reserved) for row in listed(path.gw.archive.reader)}


def failing(code: Code, **said: Any) -> Any:
    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        raise Failed(code, "it failed", **said)

    return answer


CALLS = {"of": "calls", "limit": 2}


@pytest.mark.promise("budget.refusal")
async def test_what_a_budget_does_not_pay_for_is_refused_before_it_runs_and_costs_nothing(path: DataPath) -> None:
    declare(path, minute=CALLS | {"window": 600}, all=CALLS | {"limit": 9})
    path.gw.budgets._clock = lambda: 1_800_000_030.5
    for _ in range(2):
        assert told(await path.write())["effect"] == "allow"
    for _ in range(3):
        reply = await path.write()
        assert told(reply)["code"] == "RATE"
        assert told(reply)["retry_after_s"] == 570
        assert told(reply)["would_pass"] == "the same call in 570 s"
        assert "begins anew in 570 s" in told(reply)["reasons"][0]
    assert len(path.executor.calls) == 2
    assert sums(path) == {"minute": (2, 0), "all": (2, 0)}
    assert [leaf["code"] for leaf in path.leaves("call.refused")] == ["RATE"] * 3
    assert path.leaves("call.refused")[0]["decision"]["effect"] == "allow"


@pytest.mark.promise("budget.refusal")
@pytest.mark.parametrize(
    ("arguments", "policy"), [({"path": "notes/a", "text": 7}, ""), ({"path": "notes/a", "text": "x"}, DENY_ALL)]
)
async def test_what_is_refused_for_another_reason_costs_nothing(
    path: DataPath, arguments: JsonObject, policy: str
) -> None:
    declare(path, all=CALLS)
    if policy:
        path.use(policy)
    for _ in range(4):
        assert told(await path.call(arguments=arguments))["code"] in ("SCHEMA", "POLICY_DENIED")
    assert sums(path) == {}


@pytest.mark.promise("budget.edge")
async def test_64_clients_at_the_last_unit_and_one_of_them_runs(path: DataPath) -> None:
    declare(path, hour=CALLS | {"limit": 1, "window": 3600}, all=CALLS | {"limit": 900})
    replies = await asyncio.gather(*(path.write() for _ in range(64)))
    assert sorted(told(reply).get("code", "ran") for reply in replies) == ["RATE"] * 63 + ["ran"]
    assert all(told(reply)["retry_after_s"] > 0 for reply in replies if "code" in told(reply))
    assert len(path.executor.calls) == 1
    assert sums(path) == {"hour": (1, 0), "all": (1, 0)}
    assert len(path.leaves("call.refused")) == 63


@pytest.mark.promise("budget.cost")
async def test_a_call_whose_cost_is_none_is_refused(path: DataPath) -> None:
    declare(path, units={"of": "units", "limit": 5, "cost": {"at": "/text"}})
    assert told(await path.write())["code"] == "SEMANTIC"
    assert "/text is its cost for the budget 'units', and is no integer" in told(await path.write())["reasons"][0]
    assert path.executor.calls == []


@pytest.mark.parametrize(
    ("failure", "became", "used", "reserved"),
    [
        (failing(Code.UPSTREAM_UNAVAILABLE), "released", 0, 0),
        (failing(Code.SANDBOX_UNAVAILABLE), "released", 0, 0),
        (failing(Code.UPSTREAM_UNAVAILABLE, unknown=True), "held", 0, 1),
        (failing(Code.UPSTREAM_TIMEOUT, unknown=True), "held", 0, 1),
        (failing(Code.UPSTREAM_INVALID), "spent", 1, 0),
        (failing(Code.RESULT_WITHHELD), "spent", 1, 0),
    ],
)
async def test_what_becomes_of_a_call_that_brought_no_result(
    path: DataPath, failure: Any, became: str, used: int, reserved: int
) -> None:
    declare(path, all=CALLS)
    path.executor.answer = failure
    await path.write()
    assert sums(path) == {"all": (used, reserved)}
    assert path.leaves("call.settled")[0]["budget"] == became


async def test_an_error_of_the_tool_itself_is_used(path: DataPath) -> None:
    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        return nouns.outcome(tool_error=True)

    declare(path, all=CALLS)
    path.executor.answer = answer
    await path.write()
    assert sums(path) == {"all": (1, 0)}


async def test_a_round_that_asks_first_frees_all_but_calls_and_bytes(path: DataPath) -> None:
    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        return nouns.outcome(result={"resultType": "input_required", "inputRequests": {}, "requestState": "s"})

    declare(path, calls=CALLS, risk={"of": "risk", "limit": 9, "cost": {"fixed": 3}})
    path.executor.answer = answer
    await path.write()
    assert sums(path) == {"calls": (1, 0), "risk": (0, 0)}
    assert path.leaves("call.settled")[0]["budget"] == "asked"


async def test_the_records_say_what_was_reserved_and_what_became_of_it(path: DataPath) -> None:
    declare(path, sent={"of": "bytes_out", "limit": 900, "per": ["principal"]})
    await path.write()
    (intent,), (settled,) = path.leaves("call.intent"), path.leaves("call.settled")
    assert intent["budgets"] == ["sent"]
    cost = len(b'{"path":"notes/a.md","text":"hello"}')
    assert intent["sealed"]["reserved"] == [
        {"budget": "sent", "amount": cost, "from": 0, "scope": {"principal": "agent"}}
    ]
    assert settled["budget"] == "spent"
    schema = orjson.loads((PAGE.parent / "leaf.v1.json").read_bytes())
    for leaf in (intent, settled):
        assert jsonschema_rs.is_valid(schema, {**leaf})


async def test_without_a_budget_no_record_and_no_write_says_anything_of_budgets(path: DataPath) -> None:
    path.gw.budgets._reader = None  # type: ignore[assignment]
    await path.write()
    assert "budgets" not in path.leaves("call.intent")[0]
    assert "reserved" not in path.leaves("call.intent")[0]["sealed"]
    assert "budget" not in path.leaves("call.settled")[0]
    assert sums(path) == {}


async def test_policy_decides_by_what_is_left(path: DataPath) -> None:
    path.use(
        'package bascule.call\nallow contains "half is left" if input.budget.all.left * 2 > input.budget.all.limit\n'
    )
    declare(path, all=CALLS | {"limit": 4})
    codes = [told(await path.write()).get("code") for _ in range(4)]
    assert codes == [None, None, "NO_RULE", "NO_RULE"]


@pytest.mark.promise("budget.kept")
@pytest.mark.parametrize(("says", "used"), [(Ending.DONE, 1), (Ending.FAILED, 1)])
async def test_what_a_run_held_when_its_log_went_stays_held_until_a_person_says_what_happened(
    tmp_path: Path, says: Ending, used: int
) -> None:
    async with data_path(tmp_path) as before:

        async def answer(proposal: Proposal, limits: Limits) -> Outcome:
            async def gone(*_: Any) -> Any:
                raise LogUnavailable("gone")

            before.gw.log.append = gone  # type: ignore[assignment]
            return nouns.outcome()

        declare(before, all=CALLS)
        before.executor.answer = answer
        run = told(await before.write())["run"]
    async with data_path(tmp_path) as after:
        declare(after, all=CALLS)
        assert await recovery.recover(after.gw) == 1
        assert sums(after) == {"all": (0, 1)}
        resolved = records.event("run.resolved", {"ending": says.value}, run=run)
        await after.gw.log.append([resolved], [states.resolved(run, says), *ledger.settled(run, says)])
        assert sums(after) == {"all": (used, 0)}


async def test_shadow_notes_what_would_have_been_refused_and_counts_over_the_limit(tmp_path: Path) -> None:
    async with data_path(tmp_path, terms=Terms(Mode.SHADOW, date(2199, 1, 1))) as path:
        declare(path, all=CALLS | {"limit": 1})
        for _ in range(3):
            assert told(await path.write())["effect"] == "allow"
        assert sums(path) == {"all": (3, 0)}
        failed = [
            [one["name"] for one in leaf["checks"] if one["verdict"] == "fail"] for leaf in path.leaves("call.intent")
        ]
        assert failed == [[], ["budget"], ["budget"]]


async def test_shadow_lets_a_call_pass_whose_cost_is_none_and_counts_what_can_be_counted(tmp_path: Path) -> None:
    async with data_path(tmp_path, terms=Terms(Mode.SHADOW, date(2199, 1, 1))) as path:
        declare(path, all=CALLS, units={"of": "units", "limit": 5, "cost": {"at": "/text"}})
        decision = told(await path.write())
        assert (decision["effect"], decision["code"]) == ("allow", "SEMANTIC")
        assert sums(path) == {"all": (1, 0)}


async def test_nobody_is_asked_to_approve_what_cannot_be_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    asks = (
        'package bascule.call\nrequire_approval contains {"reason": "see", "from": ["ops"]} if input.tool.name != ""\n'
    )
    async with data_path(tmp_path, asks) as path:
        enroll(path.gw, ALICE)
        declare(path, all=CALLS | {"limit": 0})
        assert told(await path.write())["code"] == "BUDGET"
        assert path.leaves("approval.requested") == []
        declare(path, all=CALLS | {"limit": 1})
        assert told(await path.write())["code"] == "APPROVAL_REQUIRED"
        assert sums(path) == {}
        await ALICE.answers(path.gw, await waiting(path.gw))
        assert told(await path.write())["effect"] == "allow"
        assert sums(path) == {"all": (1, 0)}


async def test_what_was_used_while_people_thought_refuses_what_they_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approving, "HOLD_SECONDS", 0.0)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "approve.rego").write_text(APPROVE)
    asks = """package bascule.call
allow contains "reads" if input.tool.name == "read_note"
require_approval contains {"reason": "see", "from": ["ops"]} if input.tool.name == "write_note"
"""
    async with data_path(tmp_path, asks) as path:
        enroll(path.gw, ALICE)
        declare(path, all=CALLS | {"limit": 1})
        await path.write()
        await ALICE.answers(path.gw, await waiting(path.gw))
        await path.call("read_note", arguments={"path": "a"})
        assert told(await path.write())["code"] == "BUDGET"
        assert sums(path) == {"all": (1, 0)}
        assert [proposal.pin.name for proposal in path.executor.calls] == [READ_NOTE["name"]]


async def test_the_budgets_of_the_page_do_what_it_says(path: DataPath) -> None:
    example, *_ = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    read = config.parse(f"version: 1\naudit: {{origin: example.org/bascule}}\n{example}", PAGE, {})
    refunds = read.budgets["refunds"]
    where = refunds.where.model_copy(update={"upstream": ("notes",)})
    path.gw.budgets.declared = {**read.budgets, "refunds": refunds.model_copy(update={"where": where})}
    path.executor.offers = [{"name": name, "inputSchema": {"type": "object"}} for name in ("refund", "delete_note")]
    path.use('package bascule.call\nallow contains "all" if input.tool.name != ""\n')
    refunded = [told(await path.call("refund", arguments={"cents": cents})) for cents in (40_000, 10_001, 10_000)]
    assert [one.get("code") for one in refunded] == [None, "BUDGET", None]
    for _ in range(5):
        assert told(await path.call("delete_note", arguments={}, task="t1"))["effect"] == "allow"
    assert told(await path.call("delete_note", arguments={}, task="t1"))["code"] == "BUDGET"
    assert "retry_after_s" not in told(await path.call("delete_note", arguments={}, task="t1"))
    assert told(await path.call("delete_note", arguments={}, task="t2"))["effect"] == "allow"


async def test_the_policy_of_the_page_keeps_the_last_tenth(path: DataPath) -> None:
    (policy,) = re.findall(r"```rego\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    path.use(policy + '\nallow contains "all" if input.tool.name != ""\n')
    declare(path, all=CALLS | {"limit": 20})
    codes = [told(await path.write()).get("code") for _ in range(20)]
    assert codes == [None] * 19 + ["POLICY_DENIED"]


async def test_what_was_done_under_a_key_is_told_again_though_nothing_is_left(path: DataPath) -> None:
    declare(path, all=CALLS | {"limit": 1})
    meta = {"bascule/idempotency-key": "once"}
    first, again = [await path.call(meta=meta) for _ in range(2)]
    assert told(first)["effect"] == told(again)["effect"] == "allow"
    assert told(await path.call(meta={"bascule/idempotency-key": "other"}))["code"] == "BUDGET"
    assert len(path.executor.calls) == 1
    assert sums(path) == {"all": (1, 0)}


async def test_64_clients_with_keys_of_their_own_at_the_last_unit(path: DataPath) -> None:
    declare(path, all=CALLS | {"limit": 1})
    keys = [{"bascule/idempotency-key": f"k{number % 32}"} for number in range(64)]
    replies = await asyncio.gather(*(path.call(meta=meta) for meta in keys))
    codes = sorted(told(reply).get("code", "ran") for reply in replies)
    assert codes == ["BUDGET"] * 62 + ["ran"] * 2
    assert len(path.executor.calls) == 1
    assert sums(path) == {"all": (1, 0)}
