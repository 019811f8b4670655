"""What an endpoint says of itself: what its upstreams can do, as one. It never fails and never waits for long."""

import asyncio

import pytest

from gateway import listing
from gateway.channel import About
from gateway.listing import speaking
from gateway.model import Endpoint, JsonObject
from tests import nouns
from tests.listing.servers import DOWN, Server, Several, several
from tests.path import DataPath

UNKNOWN: JsonObject = {"tools": {}, "resources": {}, "prompts": {}}


async def about(many: Several, endpoint: Endpoint) -> About:
    return await listing.about(nouns.AGENT, endpoint, many.gw)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({}, {"tools": {}}),
        ({"tools": {"listChanged": True}}, {"tools": {"listChanged": True}}),
        ({"tools": {"listChanged": False}}, {"tools": {}}),
        ({"tools": {"listChanged": "yes"}}, {"tools": {}}),
        (
            {"resources": {"subscribe": True, "listChanged": True, "more": 1}},
            {"tools": {}, "resources": {"subscribe": True, "listChanged": True}},
        ),
        (
            {"prompts": {}, "completions": {}, "logging": {}},
            {"tools": {}, "prompts": {}, "completions": {}, "logging": {}},
        ),
        ({"prompts": None, "resources": [], "tasks": {}, "vendor": {"x": {}}}, {"tools": {}}),
    ],
)
async def test_capabilities_are_those_there_are_words_for(
    path: DataPath, declared: JsonObject, told: JsonObject
) -> None:
    many = several(path, {"a": Server(says=About(declared))})
    assert (await about(many, many.at("a"))).capabilities == told


async def test_several_are_shown_with_what_any_of_them_can_do(path: DataPath) -> None:
    servers = {
        "a": Server(says=About({"resources": {"subscribe": True}, "logging": {}}, "of a")),
        "b": Server(says=About({"resources": {"listChanged": True}, "prompts": {"listChanged": True}}, "of b")),
    }
    many = several(path, servers)
    said = await about(many, many.at())
    assert said.capabilities == {
        "tools": {},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {"listChanged": True},
        "logging": {},
    }
    assert (said.instructions, said.era) == ("", "")


async def test_of_a_single_one_instructions_extensions_and_era_are_passed_on(path: DataPath) -> None:
    extensions: JsonObject = {"io.modelcontextprotocol/tasks": {}}
    said = About({"extensions": extensions}, "use it well", "2026-07-28")
    many = several(path, {"a": Server(says=said), "b": Server(says=About({}))})
    told = await about(many, many.at("a"))
    assert (told.instructions, told.era, told.capabilities["extensions"]) == ("use it well", "2026-07-28", extensions)
    assert "extensions" not in (await about(many, many.at())).capabilities


@pytest.mark.parametrize("name", ["extensions", "experimental"])
@pytest.mark.parametrize(
    ("other", "passed"), [({"x": {"y": 1}}, True), ({"x": {"y": True}}, False), ({"x": {}}, False), (None, False)]
)
async def test_of_several_only_what_all_declare_alike_is_passed_on_as_sent(
    path: DataPath, name: str, other: object, passed: bool
) -> None:
    mine: JsonObject = {name: {"x": {"y": 1}}}
    many = several(path, {"a": Server(says=About(mine)), "b": Server(says=About({name: other}))})
    assert (await about(many, many.at("a"))).capabilities == {"tools": {}, **mine}
    assert (await about(many, many.at())).capabilities == ({"tools": {}, **mine} if passed else {"tools": {}})


@pytest.mark.parametrize(
    ("extensions", "passed"), [({"a": {}}, True), ({"a": "x" * 20_000}, False), ([], False), ("a", False)]
)
async def test_extensions_are_an_object_of_a_bearable_size(path: DataPath, extensions: object, passed: bool) -> None:
    many = several(path, {"a": Server(says=About({"extensions": extensions}))})
    assert ("extensions" in (await about(many, many.at("a"))).capabilities) is passed


@pytest.mark.parametrize(
    ("instructions", "told"),
    [
        ("line\n\tline", "line\n\tline"),
        ("see\u200bn \U000e0041\u202eleft\x1b[2J", "seen left[2J"),
        ("é" * 20_000, "é" * 8_192),
        ("a" + "é" * 20_000, "a" + "é" * 8_191),
        ("bad \ud800", "bad ?"),
    ],
    ids=range(5),
)
async def test_instructions_are_bounded_and_hide_nothing(path: DataPath, instructions: str, told: str) -> None:
    many = several(path, {"a": Server(says=About({}, instructions))})
    assert (await about(many, many.at("a"))).instructions == told


async def test_one_that_cannot_be_asked_counts_as_having_every_list(path: DataPath) -> None:
    many = several(path, {"a": Server(says=DOWN), "b": Server(says=About({"logging": {}}))})
    assert await about(many, many.at("a")) == About(UNKNOWN)
    assert (await about(many, many.at())).capabilities == {**UNKNOWN, "logging": {}}


async def test_a_slow_one_is_waited_for_a_while_and_known_once_it_has_spoken(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "PATIENCE_SECONDS", 0.01)
    gate = asyncio.Event()
    many = several(path, {"a": Server(says=About({"logging": {}}), gate=gate), "b": Server()})
    assert await about(many, many.at("a")) == About(UNKNOWN)
    gate.set()
    await many.gw.lists.asked["a"]
    assert (await about(many, many.at("a"))).capabilities == {"tools": {}, "logging": {}}


async def test_what_was_said_is_kept_and_asked_for_again_behind_later_clients(path: DataPath) -> None:
    many = several(path, {"a": Server(says=About({"logging": {}}))})
    said = await about(many, many.at("a"))
    many.servers["a"].says = About({"prompts": {}})
    assert await about(many, many.at("a")) == said
    many.age(61)
    assert await about(many, many.at("a")) == said
    await many.gw.lists.asked["a"]
    assert (await about(many, many.at("a"))).capabilities == {"tools": {}, "prompts": {}}
    many.servers["a"].says = DOWN
    many.age(61)
    await about(many, many.at("a"))
    await many.gw.lists.asked["a"]
    assert (await about(many, many.at("a"))).capabilities == {"tools": {}, "prompts": {}}


async def test_a_server_that_a_reload_put_there_speaks_for_itself(path: DataPath) -> None:
    many = several(path, {"a": Server(says=About({"logging": {}}))})
    await about(many, many.at("a"))
    many.gw.executors["a"] = Server(says=About({"prompts": {}}))
    assert (await about(many, many.at("a"))).capabilities == {"tools": {}, "prompts": {}}


async def test_an_endpoint_of_nothing_has_tools(path: DataPath) -> None:
    assert await about(many := several(path, {}), many.at()) == About({"tools": {}})
    assert await about(many, Endpoint("gone", ("gone",), qualified=False)) == About({"tools": {}})
