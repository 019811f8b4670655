"""What a call means: whose tool, prompt, resource or method; hidden, foreign and missing ones look the same."""

import asyncio
from typing import Any

import pytest

from gateway import listing
from gateway.errors import Failed, Refused
from gateway.kinds import Kind, Listed
from gateway.listing import resolving
from gateway.model import Code, Digest, Endpoint, Mode, PinState, Principal
from gateway.registry import Terms
from gateway.registry.registry import UNKNOWN
from tests import nouns
from tests.listing.servers import DOWN, READER, Server, Several, prompt, resource, several, template, tool
from tests.path import DataPath

OTHER = Principal("other")
HIDE = """package bascule.list

hide contains name if {
	input.principal.id == "reader"
	some name in ["write", "file:///secret", "secret:///{+path}", "confess"]
}
"""
A = {
    Listed.TOOLS: [tool("read"), tool("write")],
    Listed.RESOURCES: [resource("file:///a"), resource("file:///both"), resource("file:///secret")],
    Listed.TEMPLATES: [template("file:///logs/{day}"), template("secret:///{+path}")],
    Listed.PROMPTS: [prompt("ask"), prompt("confess")],
}
B = {
    Listed.RESOURCES: [resource("file:///b"), resource("file:///both")],
    Listed.TEMPLATES: [template("file:///logs/{day}/{hour}"), template("db:///{table*}")],
    Listed.PROMPTS: [prompt("ask")],
}


@pytest.fixture
def many(path: DataPath) -> Several:
    path.use(HIDE)
    return several(path, {"a": Server(dict(A)), "b": Server(dict(B)), "c": Server()}, views={"v": ["b", "a"]})


def ref(**given: Any) -> dict[str, Any]:
    return {"ref": given, "argument": {"name": "x", "value": "y"}}


FOUND = [
    (Kind.TOOL, "read", "a", {}, ("a", "read")),
    (Kind.TOOL, "a__read", None, {}, ("a", "read")),
    (Kind.PROMPT, "ask", "b", {}, ("b", "ask")),
    (Kind.PROMPT, "b__ask", None, {}, ("b", "ask")),
    (Kind.RESOURCE, "file:///a", "a", {}, ("a", "file:///a")),
    (Kind.RESOURCE, "file:///not-listed", "a", {}, ("a", "file:///not-listed")),
    (Kind.RESOURCE, "file:///b", None, {}, ("b", "file:///b")),
    (Kind.RESOURCE, "file:///both", None, {}, ("a", "file:///both")),
    (Kind.RESOURCE, "file:///logs/1", None, {}, ("a", "file:///logs/1")),
    (Kind.RESOURCE, "file:///logs/1/2", None, {}, ("b", "file:///logs/1/2")),
    (Kind.RESOURCE, "db:///x/y/z", None, {}, ("b", "db:///x/y/z")),
    (Kind.SUBSCRIPTION, "file:///b", None, {}, ("b", "file:///b")),
    (Kind.SUBSCRIPTION, "file:///b", "a", {}, ("a", "file:///b")),
    (Kind.COMPLETION, "", "a", ref(type="ref/prompt", name="ask"), ("a", "ask")),
    (Kind.COMPLETION, "", None, ref(type="ref/prompt", name="b__ask"), ("b", "ask")),
    (Kind.COMPLETION, "", "b", ref(type="ref/resource", uri="db:///{table*}"), ("b", "db:///{table*}")),
    (Kind.COMPLETION, "", None, ref(type="ref/resource", uri="db:///{table*}"), ("b", "db:///{table*}")),
    (Kind.COMPLETION, "", None, ref(type="ref/resource", uri="file:///b"), ("b", "file:///b")),
    (Kind.OTHER, "vendor/method", "c", {}, ("c", "vendor/method")),
    (Kind.OTHER, "tasks/get", "c", {"taskId": "unheard-of"}, ("c", "tasks/get")),
]


@pytest.mark.parametrize(("kind", "name", "at", "arguments", "meant"), FOUND, ids=str)
async def test_each_kind_finds_its_upstream(
    many: Several, kind: Kind, name: str, at: str | None, arguments: dict[str, Any], meant: tuple[str, str]
) -> None:
    pin = await many.resolve(kind, name, many.at(at), arguments=arguments)
    assert (pin.upstream, pin.name) == meant
    if kind is not Kind.TOOL:
        assert (pin.digest, pin.definition, pin.state) == (Digest(""), {}, PinState.ACCEPTED)
        effects = ("unknown",) if kind is Kind.OTHER else ("read",)
        assert (pin.manifest.effects, pin.mode) == (effects, Mode.ENFORCE)


async def test_of_two_that_list_the_same_uri_the_first_of_the_endpoint_is_its_owner(many: Several) -> None:
    assert (await many.resolve(Kind.RESOURCE, "file:///both", many.at(view="v"))).upstream == "b"
    assert (await many.resolve(Kind.RESOURCE, "file:///both", many.at())).upstream == "a"


ODD = [
    "",
    "__",
    "a__",
    "__ask",
    "a",
    "\0",
    "\ud800",
    "x" * 100_000,
    "a__ask\n",
    "{",
    "file:///{",
    "d__ask",
    "a__b__ask",
]


@pytest.mark.parametrize("name", ODD, ids=lambda name: ascii(name[:12]))
@pytest.mark.parametrize(
    "kind", [Kind.TOOL, Kind.PROMPT, Kind.RESOURCE, Kind.SUBSCRIPTION, Kind.COMPLETION, Kind.OTHER, "nothing", ""]
)
async def test_what_nobody_has_is_unknown_in_the_same_words(many: Several, kind: Any, name: str) -> None:
    for arguments in ({}, ref(type="ref/prompt", name=name), ref(type="ref/resource", uri=name), {"taskId": name}):
        refusal = await many.refused(kind, name, many.at(), arguments=arguments)
        assert (refusal.code, refusal.reason, refusal.would_pass) == (Code.TOOL_UNKNOWN, UNKNOWN, "")


NO_REFERENCES: list[object] = [
    None,
    7,
    [],
    {},
    {"type": "ref/tool"},
    {"type": "ref/prompt"},
    {"type": "ref/prompt", "name": ["ask"]},
    {"type": "ref/resource", "uri": 7},
]


@pytest.mark.parametrize("ref", NO_REFERENCES, ids=str)
@pytest.mark.parametrize("at", ["a", None])
async def test_a_completion_of_nothing_that_can_be_completed_is_unknown(
    many: Several, ref: object, at: str | None
) -> None:
    refusal = await many.refused(Kind.COMPLETION, "", many.at(at), arguments={"ref": ref})
    assert (refusal.code, refusal.reason) == (Code.TOOL_UNKNOWN, UNKNOWN)


HIDDEN = [
    (Kind.TOOL, "write", "a", {}),
    (Kind.TOOL, "a__write", None, {}),
    (Kind.PROMPT, "confess", "a", {}),
    (Kind.PROMPT, "a__confess", None, {}),
    (Kind.RESOURCE, "file:///secret", "a", {}),
    (Kind.RESOURCE, "file:///secret", None, {}),
    (Kind.RESOURCE, "secret:///x/y", "a", {}),
    (Kind.RESOURCE, "secret:///x/y", None, {}),
    (Kind.SUBSCRIPTION, "file:///secret", "a", {}),
    (Kind.SUBSCRIPTION, "secret:///x", None, {}),
    (Kind.COMPLETION, "", "a", ref(type="ref/prompt", name="confess")),
    (Kind.COMPLETION, "", None, ref(type="ref/prompt", name="a__confess")),
    (Kind.COMPLETION, "", "a", ref(type="ref/resource", uri="secret:///{+path}")),
    (Kind.COMPLETION, "", None, ref(type="ref/resource", uri="secret:///{+path}")),
    (Kind.COMPLETION, "", None, ref(type="ref/resource", uri="file:///secret")),
]


@pytest.mark.parametrize(("kind", "name", "at", "arguments"), HIDDEN, ids=str)
async def test_what_is_hidden_is_unknown_to_whom_it_is_hidden_from(
    many: Several, kind: Kind, name: str, at: str | None, arguments: dict[str, Any]
) -> None:
    refusal = await many.refused(kind, name, many.at(at), arguments=arguments, principal=READER)
    assert (refusal.code, refusal.reason, refusal.would_pass) == (Code.TOOL_UNKNOWN, UNKNOWN, "")
    pin = await many.resolve(kind, name, many.at(at), arguments=arguments, principal=OTHER)
    assert pin.upstream == "a"


async def test_a_prompt_that_is_not_listed_looks_like_one_that_is_hidden(many: Several) -> None:
    hidden = await many.refused(Kind.PROMPT, "confess", many.at("a"), principal=READER)
    missing = await many.refused(Kind.PROMPT, "no-such", many.at("a"), principal=READER)
    assert (hidden.code, hidden.reason, hidden.would_pass) == (missing.code, missing.reason, missing.would_pass)


@pytest.mark.parametrize(
    ("kind", "what", "name", "added"),
    [
        (Kind.PROMPT, Listed.PROMPTS, "c__new", prompt("new")),
        (Kind.RESOURCE, Listed.RESOURCES, "file:///new", resource("file:///new")),
        (Kind.RESOURCE, Listed.TEMPLATES, "new:///x", template("new:///{x}")),
    ],
)
async def test_what_is_newer_than_the_list_is_found_once_the_list_is_no_longer_fresh(
    many: Several, kind: Kind, what: Listed, name: str, added: dict[str, Any]
) -> None:
    assert (await many.refused(kind, name, many.at())).code is Code.TOOL_UNKNOWN
    many.servers["c"].lists[what] = [added]
    for _ in range(20):
        await many.refused(kind, name, many.at())
    assert len(many.servers["c"].asked) <= 2
    many.age()
    assert (await many.resolve(kind, name, many.at())).upstream == "c"


async def test_an_upstream_that_is_down_takes_no_others_resources_with_it(many: Several) -> None:
    many.servers["a"].failure = DOWN
    assert (await many.resolve(Kind.RESOURCE, "file:///b", many.at())).upstream == "b"
    assert (await many.resolve(Kind.PROMPT, "b__ask", many.at())).upstream == "b"
    for kind, name in ((Kind.RESOURCE, "file:///a"), (Kind.PROMPT, "ask"), (Kind.TOOL, "read")):
        assert (await many.refused(kind, name, many.at("a"))).code is Code.UPSTREAM_UNAVAILABLE


async def test_lists_that_cannot_be_used_take_no_resource_of_a_single_server_away(many: Several) -> None:
    many.servers["a"].failure = Failed(Code.UPSTREAM_INVALID, "it lists more than 10000 items")
    assert (await many.resolve(Kind.RESOURCE, "file:///a", many.at("a"))).upstream == "a"


async def test_a_server_that_was_replaced_meanwhile_is_not_the_one_that_was_meant(many: Several) -> None:
    gate = many.servers["a"].gate = asyncio.Event()
    resolving = asyncio.ensure_future(many.refused(Kind.RESOURCE, "file:///a", many.at("a")))
    await many.servers["a"].reached.wait()
    many.gw.executors["a"] = Server()
    gate.set()
    assert (await resolving).code is Code.UPSTREAM_UNAVAILABLE


async def test_a_server_that_is_replaced_while_the_policy_is_asked_is_not_the_one_that_was_meant(
    many: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    await many.resolve(Kind.PROMPT, "ask", many.at("a"))

    async def meanwhile(*_: object) -> frozenset[str]:
        many.gw.executors["a"] = Server()
        return frozenset()

    monkeypatch.setattr(resolving, "hidden", meanwhile)
    assert (await many.refused(Kind.PROMPT, "ask", many.at("a"))).code is Code.UPSTREAM_UNAVAILABLE


async def test_drift_is_told_only_to_those_who_may_know_of_the_tool(many: Several) -> None:
    await many.names(many.at("a"))
    many.servers["a"].lists[Listed.TOOLS] = [tool("write", "changed")]
    await listing.refresh("a", many.gw)
    seen = await many.refused(Kind.TOOL, "write", many.at("a"), principal=OTHER)
    unseen = await many.refused(Kind.TOOL, "write", many.at("a"), principal=READER)
    assert (seen.code, unseen.code) == (Code.TOOL_DRIFTED, Code.TOOL_UNKNOWN)


async def test_a_stand_in_has_the_mode_of_its_upstream(path: DataPath) -> None:
    many = several(path, {"a": Server(dict(A))}, terms=[Terms(sandbox="strict")])
    assert (await many.resolve(Kind.PROMPT, "ask", many.at("a"))).sandbox == "strict"


class TestTasks:
    async def test_a_task_is_found_among_several_by_whoever_was_told_of_it(self, many: Several) -> None:
        listing.remember_task("t-1", "b", "agent", many.gw)
        given = {"arguments": {"taskId": "t-1"}}
        assert (await many.resolve(Kind.OTHER, "tasks/get", many.at(), **given)).upstream == "b"
        assert (await many.resolve(Kind.OTHER, "tasks/cancel", many.at("b"), **given)).upstream == "b"

    @pytest.mark.parametrize("at", ["b", None])
    async def test_a_task_of_another_principal_is_unknown(self, many: Several, at: str | None) -> None:
        listing.remember_task("t-1", "b", "agent", many.gw)
        refusal = await many.refused(Kind.OTHER, "tasks/get", many.at(at), arguments={"taskId": "t-1"}, principal=OTHER)
        assert (refusal.code, refusal.reason) == (Code.TOOL_UNKNOWN, UNKNOWN)

    async def test_nobody_takes_a_task_over_and_the_same_id_elsewhere_is_another_task(self, many: Several) -> None:
        listing.remember_task("t-1", "a", "agent", many.gw)
        listing.remember_task("t-1", "a", "other", many.gw)
        listing.remember_task("t-1", "b", "other", many.gw)
        given = {"arguments": {"taskId": "t-1"}}
        assert (await many.resolve(Kind.OTHER, "tasks/get", many.at(), **given)).upstream == "a"
        assert (await many.resolve(Kind.OTHER, "tasks/get", many.at(), principal=OTHER, **given)).upstream == "b"

    async def test_only_a_task_method_says_whose_it_is(self, many: Several) -> None:
        listing.remember_task("t-1", "b", "agent", many.gw)
        for name, given in (("vendor/get", {"taskId": "t-1"}), ("tasks/get", {"taskId": 1}), ("tasks/get", {})):
            assert (await many.refused(Kind.OTHER, name, many.at(), arguments=given)).code is Code.TOOL_UNKNOWN

    async def test_tasks_are_remembered_up_to_a_bound(self, many: Several, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resolving, "TASKS_KEPT", 3)
        for number in range(5):
            listing.remember_task(f"t-{number}", "a", "agent", many.gw)
        listing.remember_task("", "a", "agent", many.gw)
        assert [task for _, task in many.gw.lists.tasks] == ["t-2", "t-3", "t-4"]


ROUTED = {
    "name": "route",
    "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
}


async def test_only_tools_that_repeat_arguments_as_headers_are_looked_up_and_hidden_ones_are_not_told(
    path: DataPath,
) -> None:
    path.use('package bascule.list\nhide contains "route" if input.principal.id == "reader"\n')
    many = several(path, {"a": Server({Listed.TOOLS: [tool("write"), ROUTED]})})
    await many.names(many.at("a"))
    ask = listing.input_schema
    assert await ask(nouns.AGENT, many.at("a"), "route", path.gw) == ROUTED["inputSchema"]
    assert await ask(nouns.AGENT, many.at(), "a__route", path.gw) == ROUTED["inputSchema"]
    assert await ask(READER, many.at("a"), "route", path.gw) is None
    assert await ask(nouns.AGENT, many.at("a"), "write", path.gw) is None
    assert await ask(nouns.AGENT, many.at(), "a__no_such", path.gw) is None


async def test_the_first_call_finds_what_it_must_repeat_though_nobody_has_listed_anything(path: DataPath) -> None:
    server = Server({Listed.TOOLS: [ROUTED]})
    many = several(path, {"a": server})
    for _ in range(2):
        assert await listing.input_schema(nouns.AGENT, many.at("a"), "route", path.gw) == ROUTED["inputSchema"]
    assert await listing.input_schema(nouns.AGENT, many.at(), "b__route", path.gw) is None


async def test_what_must_be_repeated_is_left_open_where_the_list_is_not_to_be_had(path: DataPath) -> None:
    down = Server(failure=Failed(Code.UPSTREAM_UNAVAILABLE, "the upstream could not be reached"))
    many = several(path, {"a": down})
    assert await listing.input_schema(nouns.AGENT, many.at("a"), "route", path.gw) is None
    assert down.asked == [Listed.TOOLS]


async def test_an_endpoint_of_an_upstream_that_is_gone_knows_nothing(many: Several) -> None:
    gone = Endpoint("gone", ("gone",), qualified=False)
    for kind in (Kind.TOOL, Kind.PROMPT):
        assert (await many.refused(kind, "read", gone)).code is Code.TOOL_UNKNOWN
    with pytest.raises(Refused):
        await many.resolve(Kind.RESOURCE, "file:///a", gone)
