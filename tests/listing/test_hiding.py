"""What is hidden from whom: asked once, kept as long as nothing the answer depends on has changed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import Refused
from gateway.kinds import Kind, Listed
from gateway.listing import hiding
from gateway.model import Code, Mode, Principal
from gateway.policy.regorus import Regorus
from gateway.registry import Terms
from tests import nouns
from tests.listing.servers import READER, Server, Several, prompt, resource, several, template, tool
from tests.path import DataPath

LISTS = {
    Listed.TOOLS: [tool("read"), tool("write")],
    Listed.RESOURCES: [resource("file:///a"), resource("file:///b")],
    Listed.TEMPLATES: [template("file:///{name}"), template("db:///{name}")],
    Listed.PROMPTS: [prompt("ask"), prompt("tell")],
}
HIDE = """package bascule.list

hide contains name if {
	input.principal.id == "reader"
	some name in ["write", "file:///b", "db:///{name}", "tell"]
}
"""
SHOWN = {
    Listed.TOOLS: ["read"],
    Listed.RESOURCES: ["file:///a"],
    Listed.TEMPLATES: ["file:///{name}"],
    Listed.PROMPTS: ["ask"],
}


@pytest.fixture
def many(path: DataPath) -> Several:
    path.use(HIDE)
    return several(path, {"a": Server(LISTS)})


@pytest.mark.parametrize("what", Listed)
async def test_each_principal_sees_what_the_policy_does_not_hide(many: Several, what: Listed) -> None:
    assert await many.names(many.at("a"), what, READER) == SHOWN[what]
    assert len(await many.names(many.at("a"), what)) == 2


async def test_a_list_is_judged_by_its_own_entries(path: DataPath) -> None:
    path.use(
        'package bascule.list\nhide contains one.uri if {\n\tsome one in input.resources\n\tone.mimeType == "x/y"\n}\n'
    )
    listed = [resource("file:///a", mimeType="x/y"), resource("file:///b", mimeType="text/plain")]
    many = several(path, {"a": Server({Listed.RESOURCES: listed})})
    assert await many.names(many.at("a"), Listed.RESOURCES) == ["file:///b"]


@pytest.mark.parametrize("what", Listed)
async def test_shadow_hides_nothing_for_that_would_break_what_is_used(path: DataPath, what: Listed) -> None:
    path.use(HIDE)
    terms = Terms(Mode.SHADOW, datetime.now(UTC).date() + timedelta(days=1))
    many = several(path, {"a": Server(LISTS)}, terms=[terms])
    assert len(await many.names(many.at("a"), what, READER)) == 2


async def test_the_point_is_asked_once_and_again_when_something_it_depends_on_changes(
    many: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    evaluate = Regorus.evaluate

    async def counted(*given: object) -> object:
        asked.append(given)
        return await evaluate(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(Regorus, "evaluate", counted)

    async def times(principal: Principal = READER, **changed: str) -> int:
        before = len(asked)
        given = {"session": "principal:reader", "era": "2026-07-28"} | changed
        await hiding.hidden(principal, "a", given["session"], given["era"], many.gw)
        return len(asked) - before

    await many.names(many.at("a"), principal=READER)
    assert await times() == 0
    assert await times(session="another with the same labels") == 0
    assert await times(era="2025-11-25") == 1
    assert await times(replace(READER, roles=("admin",))) == 1
    many.servers["a"].lists = {Listed.TOOLS: [tool("read")]}
    many.age()
    await many.names(many.at("a"), principal=READER)
    assert await times() == 0
    many.path.use("package bascule.list\n")
    assert await times() == 1


async def test_a_change_at_one_upstream_asks_nothing_anew_about_another(path: DataPath) -> None:
    many = several(path, {"a": Server(LISTS), "b": Server(LISTS)})
    await many.names(many.at())
    kept = {key: shown for key, shown in many.gw.lists.shown.items() if key[2][0] == "b"}
    many.servers["a"].lists = {Listed.TOOLS: [tool("read")]}
    many.age()
    await many.names(many.at())
    assert {key: shown for key, shown in many.gw.lists.shown.items() if key[2][0] == "b"} == kept
    assert len(many.gw.lists.shown) == 2, "what was answered of an earlier list is not kept"


async def test_what_a_session_has_read_may_change_what_it_sees(path: DataPath) -> None:
    path.use('package bascule.list\nhide contains "write" if "untrusted" in input.session.labels\n')
    many = several(path, {"a": Server(LISTS)})
    assert await many.names(many.at("a")) == ["read", "write"]
    many.gw.sessions.learn(nouns.proposal(), labels=("untrusted",), wrote=False)
    assert await many.names(many.at("a")) == ["read"]


async def test_callers_who_see_the_same_share_one_answer(many: Several) -> None:
    one, other = [
        await hiding.hidden(Principal(name, roles=("r",)), "a", name, "2026-07-28", many.gw) for name in ("x", "y")
    ]
    assert one is other
    many.path.use(HIDE.replace("reader", "x"))
    await many.names(many.at("a"))
    first = await hiding.hidden(Principal("x"), "a", "x", "2026-07-28", many.gw)
    second = await hiding.hidden(Principal("x"), "a", "x", "2025-11-25", many.gw)
    assert first
    assert first is second


async def test_a_policy_that_gives_no_answer_shows_nothing(many: Several) -> None:
    await many.names(many.at("a"))
    many.path.use("package bascule.list\nhide contains 7\n")
    with pytest.raises(Refused) as refused:
        await many.names(many.at("a"))
    assert refused.value.code is Code.POLICY_ENGINE
    assert (await many.refused(Kind.TOOL, "read", many.at("a"))).code is Code.POLICY_ENGINE


def test_what_is_kept_is_bounded_and_the_oldest_leaves_first() -> None:
    within: dict[int, str] = {}
    for number in range(5):
        hiding.kept(within, number, "x", 3)
    hiding.kept(within, 2, "y", 3)
    assert within == {2: "y", 3: "x", 4: "x"}
