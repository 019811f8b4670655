"""Lists are fetched whole, one fetch at a time, and no upstream holds up another."""

import asyncio
import logging
from collections.abc import Awaitable

import pytest

from gateway import listing
from gateway.errors import Failed, Refused
from gateway.kinds import Listed
from gateway.listing import fetching
from gateway.model import Code
from gateway.parts import Missing
from tests import nouns
from tests.listing.servers import DOWN, Server, Several, prompt, resource, several, template, tool
from tests.path import DataPath

EVERY = {
    Listed.TOOLS: [tool("read")],
    Listed.RESOURCES: [resource("file:///a")],
    Listed.TEMPLATES: [template("file:///{name}")],
    Listed.PROMPTS: [prompt("ask")],
}


@pytest.fixture
def many(path: DataPath) -> Several:
    return several(path, {"a": Server(dict(EVERY)), "b": Server(dict(EVERY))})


async def settled(many: Several) -> None:
    """What was begun behind a caller's back has ended."""
    while many.gw.lists.flights:
        await asyncio.gather(*(flight.task for flight in many.gw.lists.flights.values()))
        await asyncio.sleep(0)


@pytest.mark.parametrize("what", Listed)
async def test_an_upstream_that_is_down_is_an_error_where_it_alone_was_asked_for(many: Several, what: Listed) -> None:
    many.servers["a"].failure = DOWN
    with pytest.raises(Refused) as refused:
        await many.names(many.at("a"), what)
    assert (refused.value.code, refused.value.reason) == (Code.UPSTREAM_UNAVAILABLE, DOWN.reason)


@pytest.mark.parametrize("what", Listed)
async def test_an_upstream_that_is_down_takes_no_other_with_it_and_is_named_in_the_log(
    many: Several, what: Listed, caplog: pytest.LogCaptureFixture
) -> None:
    many.servers["a"].failure = DOWN
    with caplog.at_level(logging.WARNING):
        assert len(await many.names(many.at(), what)) == 1
        many.age()
        assert len(await many.names(many.at(), what)) == 1
    told = [record.message for record in caplog.records if "upstream a" in record.message]
    assert told == [f"upstream a: no list of {what}: {DOWN.reason} ({DOWN.detail})"]


@pytest.mark.parametrize("what", Listed)
async def test_where_all_upstreams_are_down_the_list_is_an_error_and_no_empty_one(many: Several, what: Listed) -> None:
    many.servers["a"].failure = many.servers["b"].failure = DOWN
    with pytest.raises(Refused) as refused:
        await many.names(many.at(), what)
    assert refused.value.code is Code.UPSTREAM_UNAVAILABLE


async def test_where_nothing_is_configured_the_list_is_empty(path: DataPath) -> None:
    assert await (many := several(path, {})).names(many.at()) == []


async def test_a_slow_upstream_is_shown_from_the_last_list_known(
    many: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = await many.names(many.at())
    assert everything == ["a__read", "b__read"]
    monkeypatch.setattr(fetching, "PATIENCE_SECONDS", 0.01)
    many.servers["a"].gate = asyncio.Event()
    many.servers["a"].lists[Listed.TOOLS] = []
    many.age()
    assert await many.names(many.at()) == everything


async def test_a_slow_upstream_of_which_nothing_is_known_is_missing_and_no_list_waits_for_it_twice(
    many: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    await many.names(many.at("b"))
    monkeypatch.setattr(fetching, "PATIENCE_SECONDS", 0.01)
    gate = many.servers["a"].gate = asyncio.Event()
    assert await many.names(many.at()) == ["b__read"]
    many.age(1.0)
    monkeypatch.setattr(fetching, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(asyncio, "wait", None)  # nothing is waited for
    assert await many.names(many.at()) == ["b__read"]
    gate.set()
    await settled(many)
    assert await many.names(many.at()) == ["a__read", "b__read"]


async def test_where_all_are_slow_and_nothing_is_known_the_list_is_an_error(
    many: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PATIENCE_SECONDS", 0.01)
    many.servers["a"].gate = many.servers["b"].gate = asyncio.Event()
    with pytest.raises(Refused) as refused:
        await many.names(many.at())
    assert refused.value.code is Code.UPSTREAM_TIMEOUT


async def test_upstreams_are_asked_side_by_side(many: Several) -> None:
    gate = many.servers["a"].gate = many.servers["b"].gate = asyncio.Event()
    asking = asyncio.ensure_future(many.names(many.at()))
    for server in many.servers.values():
        await server.reached.wait()
    gate.set()
    assert await asking == ["a__read", "b__read"]


async def test_one_that_failed_just_now_is_not_asked_again_while_others_wait(many: Several) -> None:
    many.servers["a"].failure = DOWN
    for _ in range(3):
        assert await many.names(many.at()) == ["b__read"]
    assert many.servers["a"].asked == [Listed.TOOLS]
    many.servers["a"].failure = None
    many.age()
    assert await many.names(many.at()) == ["a__read", "b__read"]


async def test_many_callers_share_one_fetch_and_one_that_leaves_does_not_end_it(many: Several) -> None:
    gate = many.servers["a"].gate = asyncio.Event()
    leaving, *staying = (asyncio.ensure_future(many.names(many.at("a"))) for _ in range(20))
    await asyncio.sleep(0)
    leaving.cancel()
    gate.set()
    assert await asyncio.gather(*staying) == [["read"]] * 19
    assert many.servers["a"].asked == [Listed.TOOLS]


@pytest.mark.parametrize("what", Listed)
async def test_a_list_is_answered_from_one_that_is_fresh_and_fetched_again_once_it_is_not(
    many: Several, what: Listed
) -> None:
    for _ in range(3):
        await many.names(many.at("a"), what)
    assert many.servers["a"].asked == [what]
    many.age()
    await many.names(many.at("a"), what)
    assert many.servers["a"].asked == [what, what]


@pytest.mark.parametrize("what", Listed)
async def test_a_call_waits_for_the_first_list_only_and_a_stale_one_is_renewed_behind_it(
    many: Several, what: Listed
) -> None:
    for age, asked in ((0.0, 1), (30.0, 1), (61.0, 2), (0.0, 2)):
        many.age(age)
        await fetching.current("a", what, many.gw)
        await settled(many)
        assert len(many.servers["a"].asked) == asked


@pytest.mark.parametrize("what", Listed)
async def test_a_mark_of_the_upstream_makes_every_list_stale(many: Several, what: Listed) -> None:
    for each in Listed:
        await many.names(many.at("a"), each)
    many.servers["a"].changed = True
    many.servers["a"].lists[what] = []
    assert await many.names(many.at("a"), what) == []
    await settled(many)
    assert not many.servers["a"].changed
    others = [each for each in Listed if each is not what]
    for each in others:
        await many.names(many.at("a"), each)
    assert sorted(many.servers["a"].asked) == sorted([*Listed, *Listed])


async def test_a_mark_is_noted_once_while_the_lists_it_speaks_of_are_under_way(many: Several) -> None:
    for each in Listed:
        await many.names(many.at("a"), each)
    server = many.servers["a"]
    server.changed, gate = True, asyncio.Event()
    server.gate = gate
    asking = [asyncio.ensure_future(many.names(many.at("a"), each)) for each in Listed for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*asking)
    assert sorted(server.asked) == sorted([*Listed, *Listed])
    assert (server.changed, many.gw.lists.stale) == (False, set())


async def test_a_list_is_known_once_it_was_had_of_the_server_that_is_there(many: Several) -> None:
    assert not fetching.known("a", Listed.PROMPTS, many.gw)
    await many.names(many.at("a"), Listed.PROMPTS)
    assert fetching.known("a", Listed.PROMPTS, many.gw)
    many.gw.executors["a"] = Server()
    assert not fetching.known("a", Listed.PROMPTS, many.gw)


async def test_a_change_is_fetched_after_the_fetch_that_may_have_begun_before_it(many: Several) -> None:
    server = many.servers["a"]
    gate = server.gate = asyncio.Event()
    before = asyncio.ensure_future(many.names(many.at("a")))
    await server.reached.wait()
    server.lists[Listed.TOOLS] = [tool("write")]
    storm = [asyncio.ensure_future(listing.changed("a", (Listed.TOOLS,), many.gw)) for _ in range(50)]
    await asyncio.sleep(0)
    gate.set()
    assert await before == ["read"]
    await asyncio.gather(*storm)
    assert server.asked == [Listed.TOOLS, Listed.TOOLS]
    assert [shown.name for shown in many.gw.registry.show("a") if shown.listed] == ["write"]


@pytest.mark.parametrize("unheard", ["a", "gone"])
async def test_a_change_of_an_upstream_that_is_down_or_gone_raises_nothing(many: Several, unheard: str) -> None:
    many.servers["a"].failure = DOWN
    await listing.changed(unheard, tuple(Listed), many.gw)
    assert set(many.servers["a"].asked) == (set(Listed) if unheard == "a" else set())


async def test_a_server_that_does_not_know_the_method_of_a_list_has_an_empty_one(many: Several) -> None:
    unknown = Failed(Code.UPSTREAM_INVALID, "the upstream answered with error -32601", fault={"code": -32601})
    many.servers["a"].failures = {Listed.TEMPLATES: unknown, Listed.TOOLS: unknown}
    assert await many.names(many.at("a"), Listed.TEMPLATES) == []
    with pytest.raises(Refused):
        await many.names(many.at("a"), Listed.TOOLS)


@pytest.mark.parametrize("what", Listed)
async def test_lists_of_a_server_that_was_replaced_meanwhile_are_not_taken(many: Several, what: Listed) -> None:
    gate = many.servers["a"].gate = asyncio.Event()
    asking: Awaitable[list[str]] = asyncio.ensure_future(many.names(many.at("a"), what))
    await many.servers["a"].reached.wait()
    many.gw.executors["a"] = Server({what: []})
    gate.set()
    with pytest.raises(Refused, match="reconfigured"):
        await asking
    assert await many.names(many.at("a"), what) == []


async def test_what_was_fetched_of_a_server_before_a_reload_is_fetched_of_the_new_one(many: Several) -> None:
    assert await many.names(many.at("a"), Listed.PROMPTS) == ["ask"]
    many.gw.executors["a"] = Server({Listed.PROMPTS: [prompt("tell")]})
    assert await many.names(many.at("a"), Listed.PROMPTS) == ["tell"]


async def test_a_server_that_a_reload_put_there_is_asked_at_once_though_the_one_before_it_failed(many: Several) -> None:
    many.servers["a"].failure = DOWN
    assert await many.names(many.at(), Listed.PROMPTS) == ["b__ask"]
    many.gw.executors["a"] = Server(dict(EVERY))
    assert await many.names(many.at(), Listed.PROMPTS) == ["a__ask", "b__ask"]


async def test_an_upstream_that_is_gone_is_forgotten(many: Several) -> None:
    at = many.at()
    await many.names(at, Listed.PROMPTS)
    await listing.about(nouns.AGENT, at, many.gw)
    del many.gw.executors["a"]
    many.age()
    assert await many.names(at, Listed.PROMPTS) == ["b__ask"]
    lists = many.gw.lists
    assert not lists.catalogue.known("a", Listed.PROMPTS)
    assert {key[0] for key in (*lists.fetched, *lists.failed)} | lists.spoken.keys() == {"b"}


async def test_no_call_waits_for_an_upstream_that_failed_before_unless_there_is_no_other(many: Several) -> None:
    many.servers["a"].failure = DOWN
    await fetching.ready(Listed.RESOURCES, many.at(), many.gw, fetching.STALE_SECONDS)
    gate = many.servers["a"].gate = asyncio.Event()
    many.age()
    await fetching.ready(Listed.RESOURCES, many.at(), many.gw, fetching.STALE_SECONDS)
    assert ("a", Listed.RESOURCES) in many.gw.lists.flights
    many.servers["a"].failure = None
    many.servers["b"].failure = DOWN
    many.gw.lists.fetched.clear()
    many.gw.lists.failed["b", Listed.RESOURCES] = Missing(DOWN, many.servers["b"], -1000.0)
    waiting = asyncio.ensure_future(fetching.ready(Listed.RESOURCES, many.at(), many.gw, fetching.STALE_SECONDS))
    await asyncio.sleep(0)
    gate.set()
    await waiting
    assert many.gw.lists.catalogue.known("a", Listed.RESOURCES)


async def test_what_is_wrong_with_a_list_is_told_to_the_operator(
    many: Several, caplog: pytest.LogCaptureFixture
) -> None:
    many.servers["a"].lists = {Listed.TOOLS: [tool("bad name")], Listed.RESOURCES: [{"name": "no uri"}]}
    with caplog.at_level(logging.WARNING):
        await many.names(many.at("a"))
        await many.names(many.at("a"), Listed.RESOURCES)
    assert ["tool bad name" in caplog.text, "has no uri" in caplog.text] == [True, True]
