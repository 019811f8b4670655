"""Canaries: a policy that fails on the worst inputs, or allows the reserved call, decides nothing."""

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.model import JsonObject, Point
from gateway.policy import bundle, canaries
from gateway.policy import regorus as engine_in_process
from gateway.policy.bundle import Bundle
from gateway.policy.regorus import Regorus
from tests.policy.rego import loaded


async def test_the_starter_policy_passes(tmp_path: Path) -> None:
    starter = bundle.load(bundle.shipped() / "packs" / "starter")
    said = await canaries.prove(Regorus(starter))
    assert "the reserved one was denied, none failed or took too long" in said


async def test_an_allow_for_everything_still_denies_the_reserved_call(tmp_path: Path) -> None:
    assert await canaries.prove(Regorus(loaded(tmp_path, 'allow contains "yes" if true')))


@pytest.mark.promise("fail-closed")
async def test_a_rule_that_fails_on_a_worst_input_is_refused(tmp_path: Path) -> None:
    pdp = Regorus(loaded(tmp_path, 'deny contains "x" if to_number(input.args.text) > 5'))
    with pytest.raises(ConfigError, match="the policy fails at `call` on a canary"):
        await canaries.prove(pdp)


@pytest.mark.promise("fail-closed")
async def test_a_panic_on_a_worst_input_is_refused() -> None:
    entry = (bundle.shipped() / "call.rego").read_text()
    panics = 'package bascule.call\n\ndeny contains "x" if strings.count(input.args.path, input.args.text) > 5\n'
    rest = {f"bascule/{point}.rego": (bundle.shipped() / f"{point}.rego").read_text() for point in Point}
    pdp = Regorus(Bundle.of({**rest, "bascule/call.rego": entry, "policies/a.rego": panics}, {}))
    with pytest.raises(ConfigError, match="PanicException"):
        await canaries.prove(pdp)


@pytest.mark.promise("fail-closed")
async def test_a_policy_that_takes_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pdp = Regorus(loaded(tmp_path, 'allow contains "x" if input.args.path'))
    monkeypatch.setitem(engine_in_process.LONGEST_NS, Point.CALL, -1)
    with pytest.raises(ConfigError, match="took"):
        await canaries.prove(pdp)


@pytest.mark.promise("fail-closed")
async def test_an_engine_that_allows_the_reserved_call_is_refused(tmp_path: Path) -> None:
    class Allowing(Regorus):
        async def evaluate(self, point: Point, document: JsonObject) -> Any:
            return {"effect": "allow", "reasons": [], "obligations": [], "hide": []}

    with pytest.raises(ConfigError, match="the policy answers allow to a call that the shipped entry denies"):
        await canaries.prove(Allowing(bundle.load(tmp_path)))
