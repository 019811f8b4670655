"""The built-in tool that finds others by words: what the list would show, and nothing else."""

import json
from typing import Any

import pytest

from gateway import listing
from gateway.errors import Malformed
from gateway.kinds import Kind, Listed
from gateway.listing import cursors, finding
from gateway.model import Code, JsonObject, Principal, Reply
from gateway.registry import names, pins
from gateway.registry.rolls import Place
from tests import nouns
from tests.listing.servers import DOWN, READER, Server, Several, called, several, tool
from tests.path import DataPath

VIEWS = {
    "beside": {"upstreams": ["files", "mail"], "search": "also"},
    "only": {"upstreams": ["files", "mail"], "search": "only"},
    "plain": ["files", "mail"],
}
FILES = [tool("readFile", "Reads a file from disk"), tool("write_file", "Writes a file")]
MAIL = [tool("send", "Sends a message to somebody"), tool("secret_send", "Sends a message in secret")]
HIDE = 'package bascule.list\nhide contains "secret_send" if input.principal.id == "reader"\n'


@pytest.fixture
def many(path: DataPath) -> Several:
    path.use(HIDE)
    servers = {"files": Server({Listed.TOOLS: FILES}), "mail": Server({Listed.TOOLS: MAIL}), "other": Server()}
    return several(path, servers, views=VIEWS)


async def ask(
    many: Several, view: str | None = "only", principal: Principal = nouns.AGENT, **given: Any
) -> Reply | None:
    call = called(Kind.TOOL, finding.NAME, many.at(view=view), arguments=given, principal=principal)
    return await listing.builtin(call, many.gw)


async def found(many: Several, query: str, **given: Any) -> list[str]:
    reply = await ask(many, **{"query": query, **given})
    assert reply is not None
    assert reply.result is not None
    assert "isError" not in reply.result
    told: JsonObject = reply.result["structuredContent"]
    assert json.loads(reply.result["content"][0]["text"]) == told
    return [one["name"] for one in told["tools"]]


async def test_the_list_holds_it_beside_the_others_or_in_place_of_them(many: Several) -> None:
    names = ["files__readFile", "files__write_file", "mail__secret_send", "mail__send"]
    assert await many.names(many.at(view="plain")) == names
    assert await many.names(many.at(view="beside")) == [finding.NAME, *names]
    assert await many.names(many.at(view="only")) == [finding.NAME]
    assert finding.NAME not in await many.names(many.at())


async def test_tools_that_only_the_search_shows_can_be_called_all_the_same(many: Several) -> None:
    pin = await many.resolve(Kind.TOOL, "files__readFile", many.at(view="only"))
    assert (pin.upstream, pin.name) == ("files", "readFile")


async def test_a_list_that_shows_only_the_search_asks_no_upstream(many: Several) -> None:
    many.servers["files"].failure = DOWN
    assert await many.names(many.at(view="only")) == [finding.NAME]
    assert many.servers["mail"].asked == []


async def test_where_only_the_search_is_shown_nothing_upstream_changes_the_list_and_there_is_one_page(
    many: Several,
) -> None:
    before = await many.seen(many.at(view="only"))
    await many.names(many.at(view="plain"))
    assert await many.seen(many.at(view="only")) == before
    cursor = cursors.written(Listed.TOOLS, Place("files", "readFile"))
    with pytest.raises(Malformed):
        await many.page(Listed.TOOLS, many.at(view="only"), cursor=cursor)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("read", ["files__readFile"]),
        ("READING file", ["files__readFile", "files__write_file"]),
        ("somebody", ["mail__send"]),
        ("mess", ["mail__send", "mail__secret_send"]),
        ("mail", ["mail__send", "mail__secret_send"]),
        ("nothing like it", []),
        ("!?*", []),
        ('" OR name:', []),
        ("read) OR (1", ["files__readFile"]),
        ("NEAR(read write)", ["files__readFile", "files__write_file"]),
        ("\0 \ud800 ", []),
    ],
)
async def test_words_find_tools_by_name_and_description_and_are_no_operators(
    many: Several, query: str, names: list[str]
) -> None:
    assert sorted(await found(many, query)) == sorted(names)


async def test_what_is_found_is_the_definition_that_the_list_shows(many: Several) -> None:
    reply = await ask(many, query="somebody")
    assert reply is not None
    assert reply.result is not None
    items, _ = await many.page(Listed.TOOLS, many.at(view="plain"))
    assert reply.result["structuredContent"]["tools"] == [one for one in items if one["name"] == "mail__send"]


async def test_what_is_hidden_is_not_found(many: Several) -> None:
    assert await found(many, "message", principal=READER) == ["mail__send"]
    assert await found(many, "secret", principal=READER) == []


async def test_the_limit_counts_what_may_be_seen(many: Several) -> None:
    assert len(await found(many, "file message", limit=3)) == 3
    assert len(await found(many, "message", limit=1, principal=READER)) == 1


async def test_an_answer_holds_only_so_many_bytes(many: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_BYTES", 10)
    assert len(await found(many, "file message")) == 1


async def test_the_index_follows_the_lists_and_is_made_once(many: Several) -> None:
    assert await found(many, "file") == await found(many, "file")
    index = many.gw.lists.words["view/only"][1]
    assert many.gw.lists.words["view/only"][1] is index
    many.servers["files"].lists = {Listed.TOOLS: FILES[1:]}
    await listing.changed("files", (Listed.TOOLS,), many.gw)
    assert await found(many, "file") == ["files__write_file"]
    assert many.gw.lists.words["view/only"][1] is not index


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"query": ""},
        {"query": 7},
        {"query": None},
        {"query": "x" * 1001},
        {"query": "x", "limit": 0},
        {"query": "x", "limit": 51},
        {"query": "x", "limit": 1.5},
        {"query": "x", "limit": True},
        {"query": "x", "more": 1},
    ],
    ids=lambda given: str(given)[:40],
)
async def test_arguments_that_its_schema_does_not_allow_are_refused(many: Several, given: JsonObject) -> None:
    reply = await ask(many, **given)
    assert reply is not None
    assert reply.result is not None
    assert reply.result["isError"]
    assert reply.result["content"][0]["text"].startswith(f"{Code.SCHEMA}: ")


async def test_where_no_list_is_to_be_had_it_is_an_error_and_no_empty_answer(many: Several) -> None:
    many.servers["files"].failure = many.servers["mail"].failure = DOWN
    reply = await ask(many, query="file")
    assert reply is not None
    assert reply.result is not None
    assert reply.result["isError"]
    assert DOWN.detail not in str(reply.result)


@pytest.mark.parametrize(
    ("kind", "name", "view"),
    [
        (Kind.TOOL, finding.NAME, "plain"),
        (Kind.TOOL, finding.NAME, None),
        (Kind.TOOL, "files__readFile", "only"),
        (Kind.PROMPT, finding.NAME, "only"),
    ],
)
async def test_every_other_call_is_an_upstreams(many: Several, kind: Kind, name: str, view: str | None) -> None:
    call = called(kind, name, many.at(view=view), arguments={"query": "x"})
    assert await listing.builtin(call, many.gw) is None


async def test_where_it_is_not_offered_it_is_an_unknown_tool(many: Several) -> None:
    refusal = await many.refused(Kind.TOOL, finding.NAME, many.at(view="plain"))
    assert refusal.code is Code.TOOL_UNKNOWN


def test_its_definition_is_one_that_a_registry_would_pin() -> None:
    assert pins.digest(finding.DEFINITION)
    assert names.tool_problem(finding.NAME) is None
