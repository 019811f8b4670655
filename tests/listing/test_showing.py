"""What a caller is shown: pages in a stable order, URIs of their first owner, a digest that tells when it changed."""

import logging

import pytest

from gateway import listing
from gateway.errors import Malformed
from gateway.kinds import Listed
from gateway.model import JsonObject, Principal
from gateway.registry import rolls
from tests.listing.servers import READER, Server, Several, prompt, resource, several, template, tool
from tests.path import DataPath

HIDE = 'package bascule.list\nhide contains "write" if input.principal.id == "reader"\n'
LISTS = {
    Listed.TOOLS: [tool("write", vendor={"kept": [1, False, None]}), tool("read")],
    Listed.RESOURCES: [resource("file:///b", annotations={"priority": 0.5}), resource("file:///a")],
    Listed.TEMPLATES: [template("file:///{name}")],
    Listed.PROMPTS: [prompt("tell"), prompt("ask")],
}


@pytest.fixture
def many(path: DataPath) -> Several:
    return several(path, {"b": Server(dict(LISTS)), "a": Server(dict(LISTS))}, views={"v": ["a", "b"]})


async def every(many: Several, what: Listed, principal: Principal, name: str | None = None) -> list[str]:
    """All pages, one after the other."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        items, cursor = await many.page(what, many.at(name), principal, cursor)
        found += [item.get("uri") or item.get("uriTemplate") or item["name"] for item in items]
        if cursor is None:
            return found


async def test_names_are_qualified_where_there_are_several_and_untouched_where_there_is_one(many: Several) -> None:
    assert await many.names(many.at("a")) == ["read", "write"]
    assert await many.names(many.at()) == ["b__read", "b__write", "a__read", "a__write"]
    assert await many.names(many.at(view="v")) == ["a__read", "a__write", "b__read", "b__write"]
    assert await many.names(many.at("a"), Listed.PROMPTS) == ["ask", "tell"]
    assert await many.names(many.at(), Listed.PROMPTS) == ["b__ask", "b__tell", "a__ask", "a__tell"]


async def test_definitions_are_shown_as_they_were_written(many: Several) -> None:
    items, _ = await many.page(Listed.TOOLS, many.at("a"))
    assert items == [LISTS[Listed.TOOLS][1], LISTS[Listed.TOOLS][0]]
    items, _ = await many.page(Listed.RESOURCES, many.at())
    assert items[1] == LISTS[Listed.RESOURCES][0]
    items, _ = await many.page(Listed.PROMPTS, many.at())
    assert items[0] == prompt("ask") | {"name": "b__ask"}


@pytest.mark.parametrize("what", [Listed.RESOURCES, Listed.TEMPLATES])
async def test_uris_stay_as_they_are_and_a_second_owner_is_told_to_the_operator_once(
    many: Several, what: Listed, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        shown = await many.names(many.at(), what)
        assert shown == await many.names(many.at(), what) == await many.names(many.at("b"), what)
    told = [record.message for record in caplog.records if "lists it too" in record.message]
    assert len(told) == len(shown)
    assert told[0].endswith("is b's: a lists it too")


async def test_names_that_no_endpoint_of_several_can_show_are_left_out_there(path: DataPath) -> None:
    lists = {Listed.TOOLS: [tool("a.b"), tool("c")], Listed.PROMPTS: [prompt("has space"), prompt("c")]}
    many = several(path, {"a": Server(lists)})
    assert await many.names(many.at("a")) == ["a.b", "c"]
    assert await many.names(many.at()) == ["a__c"]
    assert await many.names(many.at("a"), Listed.PROMPTS) == ["c", "has space"]
    assert await many.names(many.at(), Listed.PROMPTS) == ["a__c"]


async def test_a_long_list_comes_in_pages_and_each_item_once(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolls, "MOST_ITEMS", 7)
    path.use(HIDE)
    servers = {
        name: Server({Listed.TOOLS: [tool(f"t{number:02}") for number in range(20)] + [tool("write")]})
        for name in ("a", "b", "c")
    }
    many = several(path, servers)
    expected = [f"{name}__t{number:02}" for name in ("a", "b", "c") for number in range(20)]
    assert await every(many, Listed.TOOLS, READER) == expected
    assert len(await every(many, Listed.TOOLS, Principal("other"))) == 63
    items, cursor = await many.page(Listed.TOOLS, many.at(), READER)
    assert (len(items), bool(cursor)) == (7, True)


async def test_more_than_a_thousand_prompts_are_more_than_one_page(path: DataPath) -> None:
    many = several(path, {"a": Server({Listed.PROMPTS: [prompt(f"p{number:04}") for number in range(2_001)]})})
    sizes: list[int] = []
    cursor: str | None = None
    while not sizes or cursor is not None:
        items, cursor = await many.page(Listed.PROMPTS, many.at("a"), cursor=cursor)
        sizes.append(len(items))
    assert sizes == [1_000, 1_000, 1]


async def test_a_cursor_holds_its_place_while_the_list_changes(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolls, "MOST_ITEMS", 2)
    server = Server({Listed.PROMPTS: [prompt(name) for name in "bdfh"]})
    many = several(path, {"a": server})
    _, cursor = await many.page(Listed.PROMPTS, many.at("a"))
    server.lists = {Listed.PROMPTS: [prompt(name) for name in "acegh"]}  # `d`, where the cursor stands, is gone
    await listing.changed("a", (Listed.PROMPTS,), many.gw)
    items, following = await many.page(Listed.PROMPTS, many.at("a"), cursor=cursor)
    assert ([item["name"] for item in items], bool(following)) == (["e", "g"], True)
    items, following = await many.page(Listed.PROMPTS, many.at("a"), cursor=following)
    assert ([item["name"] for item in items], following) == (["h"], None)


async def test_a_cursor_of_another_list_or_of_an_upstream_that_is_gone_is_refused(
    many: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolls, "MOST_ITEMS", 1)
    _, cursor = await many.page(Listed.TOOLS, many.at())
    for what, endpoint in ((Listed.PROMPTS, many.at()), (Listed.TOOLS, many.at("a"))):
        with pytest.raises(Malformed) as refused:
            await many.page(what, endpoint, cursor=cursor)
        assert refused.value.jsonrpc == -32602


async def test_callers_who_see_the_same_share_pages_and_nobody_gets_anothers(many: Several) -> None:
    many.path.use(HIDE)
    for name in ("x", "y", "z"):
        assert len(await many.names(many.at(), principal=Principal(name))) == 4
    assert len(many.gw.lists.pages) == 1
    assert await many.names(many.at(), principal=READER) == ["b__read", "a__read"]
    assert len(many.gw.lists.pages) == 2


async def test_a_change_at_one_upstream_encodes_nothing_of_another_anew(many: Several) -> None:
    await many.names(many.at())
    before = many.gw.lists.rolls["a", Listed.TOOLS, True]
    many.servers["b"].lists = {Listed.TOOLS: [tool("read")]}
    await listing.changed("b", (Listed.TOOLS,), many.gw)
    assert await many.names(many.at()) == ["b__read", "a__read", "a__write"]
    assert many.gw.lists.rolls["a", Listed.TOOLS, True] is before


async def test_pages_of_lists_that_have_changed_are_not_kept(many: Several) -> None:
    for number in range(5):
        many.servers["a"].lists = {Listed.TOOLS: [tool("read", f"version {number}")]}
        await listing.changed("a", (Listed.TOOLS,), many.gw)
        await many.names(many.at("a"))
    assert len(many.gw.lists.pages) == 1


CHANGES: dict[str, tuple[JsonObject, bool, bool]] = {
    "nothing": ({}, False, False),
    "what everybody sees": ({"lists": [prompt("write"), prompt("read") | {"title": "new"}]}, True, True),
    "what the reader does not see": ({"lists": [prompt("write") | {"title": "new"}, prompt("read")]}, False, True),
    "the order": ({"lists": [prompt("read"), prompt("write")]}, False, False),
    "one more": ({"lists": [prompt("write"), prompt("read"), prompt("more")]}, True, True),
    "none": ({"lists": []}, True, True),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("at", ["a", None])
async def test_the_digest_changes_with_what_a_caller_is_shown_and_with_nothing_else(
    path: DataPath, change: str, at: str | None
) -> None:
    path.use(HIDE)
    before = [prompt("write"), prompt("read")]
    many = several(path, {"a": Server({Listed.PROMPTS: before}), "b": Server()})
    given, reader_sees, other_sees = CHANGES[change]
    await many.names(many.at(at), Listed.PROMPTS)
    for principal, sees in ((READER, reader_sees), (Principal("other"), other_sees)):
        many.servers["a"].lists = {Listed.PROMPTS: before}
        await listing.changed("a", (Listed.PROMPTS,), many.gw)
        was = await many.seen(many.at(at), Listed.PROMPTS, principal)
        many.servers["a"].lists = {Listed.PROMPTS: given.get("lists", before)}
        await listing.changed("a", (Listed.PROMPTS,), many.gw)
        assert (await many.seen(many.at(at), Listed.PROMPTS, principal) != was) is sees


async def test_the_digest_of_what_was_never_fetched_asks_nobody(many: Several) -> None:
    digests = {await many.seen(many.at(), what) for what in Listed}
    assert len(digests) == 1
    assert [server.asked for server in many.servers.values()] == [[], []]


async def test_the_digest_of_an_endpoint_changes_when_the_policy_shows_more(many: Several) -> None:
    many.path.use(HIDE)
    await many.names(many.at("a"), principal=READER)
    before = await many.seen(many.at("a"), principal=READER)
    many.path.use("package bascule.list\n")
    assert await many.seen(many.at("a"), principal=READER) != before
