"""Operator actions on the brake."""

from typing import Any

import pytest

from gateway.admin.brakes import brake_list, brake_release, brake_set
from gateway.errors import ConfigError
from gateway.settings import PrincipalSettings
from tests.agreeing import OPERATOR
from tests.path import DataPath


async def test_what_is_set_is_listed_with_who_set_it_and_why(path: DataPath) -> None:
    given: dict[str, Any] = {"subject": "principal:agent", "level": "slow", "seconds": 9, "reason": "it loops"}
    (listed,) = (await brake_set(path.gw, operator=OPERATOR, **given))["brakes"]
    assert {**given, "by": OPERATOR, "until": None}.items() <= listed.items()
    (sealed,) = [leaf["sealed"] for leaf in path.leaves("brake.set")]
    assert sealed == {"subject": "principal:agent", "operator": OPERATOR, "reason": "it loops"}


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        ("everything", None),
        ("tenant:acme", "tenant:Acme"),
        ("principal:bot", "principal:agent"),
        ("principal:local", "principal:Local"),
        ("tenant:default", "tenant:defaults"),
        ("upstream:notes", "upstream:note"),
        ("tool:notes/write_note", "tool:notes/write_notes"),
        ("tool:notes/read_note", "tool:note/read_note"),
    ],
)
async def test_a_subject_that_names_nothing_known_is_set_and_said(
    path: DataPath, known: str, unknown: str | None
) -> None:
    path.gw.settings = path.gw.settings.model_copy(
        update={"principals": {"bot": PrincipalSettings(tenant="acme", token_sha256="0" * 64)}, "insecure_local": True}
    )
    await path.write()  # its tools are listed
    assert "note" not in await brake_set(path.gw, operator=OPERATOR, subject=known, level="stop")
    if unknown is not None:
        told = await brake_set(path.gw, operator=OPERATOR, subject=unknown, level="stop")
        assert told["note"] == f"{unknown} names nothing that is known here"
        assert unknown in [one["subject"] for one in told["brakes"]]


async def test_setting_it_again_replaces_it(path: DataPath) -> None:
    for level in ("stop", "ask"):
        await brake_set(path.gw, operator=OPERATOR, subject="everything", level=level)
    assert [one["level"] for one in (await brake_list(path.gw, operator=OPERATOR))["brakes"]] == ["ask"]


async def test_what_is_not_set_cannot_be_released(path: DataPath) -> None:
    with pytest.raises(ConfigError, match="no brake is set for everything: see `bascule brake list`"):
        await brake_release(path.gw, operator=OPERATOR, subject="everything")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"subject": "all"}, "a brake is set for everything, tenant:T"),
        ({"level": "halt"}, "a brake's level is one of: slow, ask, stop"),
        ({"seconds": 0}, "slows by 1 to 600 seconds"),
        ({"seconds": 601}, "slows by 1 to 600 seconds"),
        ({"lasts_s": -1}, "lasts at most 366 days"),
        ({"reason": "x" * 1001}, "says 1000 letters"),
    ],
)
async def test_what_cannot_be_set_is_said(path: DataPath, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await brake_set(path.gw, operator=OPERATOR, **({"subject": "everything", "level": "stop"} | wrong))
    assert (await brake_list(path.gw, operator=OPERATOR))["brakes"] == []
