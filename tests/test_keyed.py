"""Idempotency keys: whose they are, what was begun under each, and who waits for its end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import Refused, Unreadable
from gateway.keyed import KEPT_BYTES, META, Key, Keyed, stated
from gateway.kinds import Kind
from gateway.model import Code, Ending, Principal, Reply, Round, RunId
from gateway.runs import states
from gateway.storage.database import Conflict
from gateway.writes import KeyFollowed, RunOpened, Write
from tests import nouns
from tests.path import DataPath, data_path

ONE, TWO = RunId("01990000-0000-7000-8000-000000000001"), RunId("01990000-0000-7000-8000-000000000002")
KEY = Key("name", "call")


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    async with data_path(tmp_path) as made:
        yield made


def stated_by(**changed: object) -> Key | None:
    call = nouns.call("write_note", arguments={"path": "a"}, meta={META: "k"})
    return stated(nouns.proposal(call=replace(call, **changed)))  # type: ignore[arg-type]


async def store(path: DataPath, *writes: Write) -> None:
    from gateway.audit import records

    await path.gw.log.append([records.event("test.stored", {})], list(writes))


def opened(run: RunId) -> RunOpened:
    return RunOpened(run, "", "agent", "default", "notes", "write_note")


def test_a_key_is_of_its_principal_and_tenant_and_its_call_of_name_and_arguments() -> None:
    mine = stated_by()
    assert mine == stated_by(session="other", task="other", era="2025-11-25")
    assert mine is not None
    others = [
        stated_by(principal=Principal("other")),
        stated_by(principal=Principal("agent", tenant="other")),
        stated_by(meta={META: "l"}),
    ]
    assert len({mine.name, *(one.name for one in others if one)}) == 4
    changed = stated_by(arguments={"path": "b"})
    assert changed is not None
    assert (changed.name, changed.call != mine.call) == (mine.name, True)


@pytest.mark.parametrize(
    "changed", [{"meta": {}}, {"kind": Kind.PROMPT}, {"round": Round({}, None)}], ids=["none", "no tool", "later round"]
)
def test_where_no_key_counts_there_is_none(changed: dict[str, object]) -> None:
    assert stated_by(**changed) is None


@pytest.mark.parametrize("key", ["", "x" * 129, "a\nb", 7, None, [], {}], ids=repr)
def test_what_is_no_key_is_refused_with_what_would_be(key: object) -> None:
    if key is None:
        assert stated_by(meta={META: None}) is None
        return
    with pytest.raises(Refused) as refused:
        stated_by(meta={META: key})
    assert (refused.value.code, refused.value.would_pass) == (Code.SCHEMA, "a key such as a UUID")


async def test_a_key_is_held_by_the_first_run_until_that_ends_without_having_acted(path: DataPath) -> None:
    await store(path, KEY.taken(ONE), opened(ONE))
    with pytest.raises(Conflict) as conflict:
        await store(path, KEY.taken(TWO), opened(TWO))
    assert "belongs to another call" in str(conflict.value)
    await store(path, states.ended(ONE, Ending.FAILED, Code.UPSTREAM_UNAVAILABLE))
    assert path.gw.keyed.named(KEY) is None
    await store(path, KEY.taken(TWO), opened(TWO))
    row = path.gw.keyed.named(KEY)
    assert row is not None
    assert row.run == TWO


@pytest.mark.parametrize("ending", [Ending.DONE, Ending.WITHHELD, Ending.UNKNOWN])
async def test_a_run_that_may_have_acted_holds_its_key_for_ever(path: DataPath, ending: Ending) -> None:
    await store(path, KEY.taken(ONE), opened(ONE))
    await store(path, states.ended(ONE, ending))
    with pytest.raises(Conflict):
        await store(path, KEY.taken(TWO), opened(TWO))


async def test_of_two_in_one_batch_one_has_the_key(path: DataPath) -> None:
    both = [store(path, KEY.taken(run), opened(run)) for run in (ONE, TWO)]
    said = await asyncio.gather(*both, return_exceptions=True)
    assert [type(one) for one in said if one is not None] == [Conflict]


async def test_a_failure_whose_reply_is_kept_does_not_give_the_key_back(path: DataPath) -> None:
    await store(path, KEY.taken(ONE), opened(ONE))
    kept = path.gw.keyed.keeps(ONE, Reply(result={"isError": True}), (), whole=True)
    await store(path, states.ended(ONE, Ending.FAILED), kept)
    with pytest.raises(Conflict):
        await store(path, KEY.taken(TWO), opened(TWO))


async def test_a_later_round_has_the_keys_of_the_one_before(path: DataPath) -> None:
    await store(path, KEY.taken(ONE), opened(ONE))
    await store(path, KeyFollowed(ONE, TWO), opened(TWO))
    row = path.gw.keyed.named(KEY)
    assert row is not None
    assert row.run == TWO


@pytest.mark.parametrize(("size", "whole", "there"), [(10, True, True), (KEPT_BYTES, True, False), (10, False, False)])
async def test_a_reply_is_kept_whole_or_not_at_all(path: DataPath, size: int, whole: bool, there: bool) -> None:
    reply = Reply(result={"content": "x" * size})
    await store(path, KEY.taken(ONE), opened(ONE))
    await store(path, states.ended(ONE, Ending.DONE), path.gw.keyed.keeps(ONE, reply, ("untrusted",), whole=whole))
    row = path.gw.keyed.named(KEY)
    assert row is not None
    kept = path.gw.keyed.opened(row)
    assert (kept is not None) == there
    assert kept is None or (kept.reply, kept.labels) == (reply, ("untrusted",))


async def test_a_reply_that_was_changed_in_the_store_is_none(path: DataPath) -> None:
    await store(path, KEY.taken(ONE), opened(ONE))
    await store(path, states.ended(ONE, Ending.DONE), path.gw.keyed.keeps(ONE, Reply(result={}), (), whole=True))
    row = path.gw.keyed.named(KEY)
    assert row is not None
    with pytest.raises(Unreadable):
        path.gw.keyed.opened(replace(row, run=TWO))


async def test_whoever_waits_hears_of_the_end_of_the_last_that_tried(path: DataPath) -> None:
    keyed: Keyed = path.gw.keyed
    assert await keyed.over(ONE, 10) is False
    with keyed.running(ONE, held=False):
        assert not keyed.runs(ONE)
    with keyed.running(ONE, held=True):
        with keyed.running(ONE, held=True):
            waiting = asyncio.ensure_future(keyed.over(ONE, 10))
            await asyncio.sleep(0)
        assert keyed.runs(ONE)
        assert await keyed.over(ONE, 0) is False
        assert not waiting.done()
    assert await waiting is True
    assert not keyed.runs(ONE)
