"""Which tools there are, and who sees them."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import listing
from gateway.errors import Failed, LogUnavailable, Refused
from gateway.model import Code, Endpoint, JsonObject, Mode, Principal
from gateway.registry import Terms, lockfile
from tests import nouns
from tests.path import DataPath, data_path

ALL = Endpoint("", ("notes",), qualified=True)
HIDE_WRITES = 'package bascule.list\nhide contains "write_note" if input.principal.id == "reader"\n'
READER = Principal("reader")


async def names(path: DataPath, principal: Principal = nouns.AGENT, endpoint: Endpoint = nouns.NOTES) -> list[str]:
    tools = await listing.list_tools(principal, endpoint, "2026-07-28", f"principal:{principal.id}", path.gw)
    return [tool["name"] for tool in tools]


async def test_an_endpoint_of_several_names_tools_by_server(path: DataPath) -> None:
    assert await names(path) == ["read_note", "write_note"]
    assert await names(path, endpoint=ALL) == ["notes__read_note", "notes__write_note"]


async def test_each_principal_sees_what_the_policy_does_not_hide(path: DataPath) -> None:
    path.use(HIDE_WRITES)
    assert await names(path, READER) == ["read_note"]
    assert await names(path) == ["read_note", "write_note"]


async def test_shadow_hides_nothing_for_that_would_break_a_tool(tmp_path: Path) -> None:
    terms = Terms(Mode.SHADOW, datetime.now(UTC).date() + timedelta(days=1))
    async with data_path(tmp_path, terms=terms) as path:
        path.use(HIDE_WRITES)
        assert await names(path, READER) == ["read_note", "write_note"]


async def test_an_upstream_that_is_down_is_an_error_where_it_alone_was_asked_for(path: DataPath) -> None:
    async def down() -> list[JsonObject]:
        raise Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached")

    path.executor.lists = down
    with pytest.raises(Refused) as refused:
        await names(path)
    assert refused.value.code is Code.UPSTREAM_UNAVAILABLE
    assert await names(path, endpoint=ALL) == []


async def test_many_callers_share_one_fetch(path: DataPath) -> None:
    asked, go_on = [], asyncio.Event()

    async def slow() -> list[JsonObject]:
        asked.append(1)
        await go_on.wait()
        return [nouns.WRITE_NOTE]

    path.executor.lists = slow
    listings = [asyncio.ensure_future(names(path)) for _ in range(20)]
    await asyncio.sleep(0)
    go_on.set()
    assert await asyncio.gather(*listings) == [["write_note"]] * 20
    assert len(asked) == 1


async def test_a_caller_that_leaves_does_not_end_the_fetch_for_the_others(path: DataPath) -> None:
    go_on = asyncio.Event()

    async def slow() -> list[JsonObject]:
        await go_on.wait()
        return [nouns.WRITE_NOTE]

    path.executor.lists = slow
    leaving, staying = (asyncio.ensure_future(names(path)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    go_on.set()
    assert await staying == ["write_note"]


async def test_what_was_pinned_is_recorded_and_written_beside_the_configuration(path: DataPath) -> None:
    await names(path)
    assert sorted(leaf["tool"] for leaf in path.leaves("pin.pinned")) == ["read_note", "write_note"]
    lock = lockfile.load(path.gw.settings.file.with_name("bascule.lock"))
    assert sorted(lock["notes"]) == ["read_note", "write_note"]


async def test_a_pin_that_could_not_be_recorded_is_recorded_when_the_log_is_back(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise LogUnavailable("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(path.gw.log, "append", fails)
        with pytest.raises(Refused):
            await names(path)
    assert path.leaves("pin.pinned") == []
    await names(path)
    assert len(path.leaves("pin.pinned")) == 2


async def test_pins_that_cannot_be_written_stop_every_list_until_they_are(path: DataPath) -> None:
    lock = path.gw.settings.file.with_name("bascule.lock")
    lock.mkdir()
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await listing.resolve(nouns.call(), path.gw)
        assert refused.value.code is Code.UPSTREAM_UNAVAILABLE
    lock.rmdir()
    assert (await listing.resolve(nouns.call(), path.gw)).name == "write_note"
    assert sorted(lockfile.load(lock)["notes"]) == ["read_note", "write_note"]
    assert len(path.leaves("pin.pinned")) == 2


async def test_drift_is_told_only_to_those_who_may_know_of_the_tool(path: DataPath) -> None:
    path.use(HIDE_WRITES)
    await names(path)
    path.executor.listed = [nouns.WRITE_NOTE | {"description": "changed"}]
    await listing.refresh("notes", path.gw)
    with pytest.raises(Refused) as seen:
        await listing.resolve(nouns.call(), path.gw)
    with pytest.raises(Refused) as unseen:
        await listing.resolve(nouns.call(principal=READER), path.gw)
    assert (seen.value.code, unseen.value.code) == (Code.TOOL_DRIFTED, Code.TOOL_UNKNOWN)


ROUTED = {
    "name": "route",
    "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
}


async def test_only_tools_that_repeat_arguments_as_headers_are_looked_up_and_hidden_ones_are_not_told(
    path: DataPath,
) -> None:
    path.use('package bascule.list\nhide contains "route" if input.principal.id == "reader"\n')
    path.executor.listed = [nouns.WRITE_NOTE, ROUTED]
    await names(path)
    ask = listing.input_schema
    assert await ask(nouns.AGENT, nouns.NOTES, "route", path.gw) == ROUTED["inputSchema"]
    assert await ask(READER, nouns.NOTES, "route", path.gw) is None
    assert await ask(nouns.AGENT, nouns.NOTES, "write_note", path.gw) is None
    assert await ask(nouns.AGENT, ALL, "notes__no_such", path.gw) is None
