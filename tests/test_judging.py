"""A proposal of any kind is judged: what is no tool's has no schema here, and no rule about tools lets it pass."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.errors import Refused
from gateway.judging import authorize, judge, softened
from gateway.kinds import Kind
from gateway.model import Code, Digest, Manifest, Mode, Pin, PinState, Proposal
from tests import nouns
from tests.path import DataPath, data_path

OTHERS = [kind for kind in Kind if kind is not Kind.TOOL]


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    async with data_path(tmp_path) as made:
        yield made


def proposal(kind: Kind, mode: Mode = Mode.ENFORCE) -> Proposal:
    pin = Pin("notes", "x", Digest(""), {}, PinState.ACCEPTED, Manifest(("read",), "none"), mode)
    return Proposal(nouns.call("x", kind=kind, arguments={"any": 1}), pin)


@pytest.mark.promise("kinds.judged")
@pytest.mark.parametrize("kind", OTHERS)
async def test_no_rule_about_tools_speaks_of_another_kind(path: DataPath, kind: Kind) -> None:
    path.use('package bascule.call\n\nallow contains "tools of notes" if input.tool.upstream == "notes"\n')
    judged, decision = await judge(proposal(kind), path.gw)
    with pytest.raises(Refused) as refused:
        authorize(judged, decision, path.gw)
    assert refused.value.code is Code.NO_RULE


@pytest.mark.promise("kinds.judged")
@pytest.mark.parametrize("kind", OTHERS)
async def test_a_rule_about_a_kind_lets_it_pass(path: DataPath, kind: Kind) -> None:
    path.use(f'package bascule.call\n\nallow contains "these" if {{\n\tinput.{kind}\n\tinput.upstream == "notes"\n}}\n')
    judged, decision = await judge(proposal(kind), path.gw)
    grant = authorize(judged, decision, path.gw)
    assert (grant.limits.timeout_s, grant.limits.most_s) == (60, 600)


def test_shadow_lets_pass_what_policy_refuses_and_nothing_else() -> None:
    shadow = proposal(Kind.RESOURCE, Mode.SHADOW).pin
    assert softened(Refused(Code.NO_RULE, ""), shadow)
    assert not softened(Refused(Code.SCHEMA, ""), shadow)
    assert not softened(Refused(Code.NO_RULE, ""), proposal(Kind.RESOURCE).pin)
