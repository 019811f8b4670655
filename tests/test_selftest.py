"""What must hold before the gateway listens, and what the operator is told where it does not."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway import pipeline, selftest
from gateway.errors import ConfigError
from gateway.model import Call, JsonObject, Point, Reply
from gateway.parts import Gateway
from gateway.policy.regorus import Regorus
from tests.path import DataPath


def states(lines: list[selftest.Line]) -> dict[str, str]:
    return {line.name: line.state for line in lines if line.name != "separation"}


async def test_a_sound_gateway_may_start_and_its_canaries_are_in_the_log(path: DataPath) -> None:
    lines = await selftest.refuse_unless_sound(path.gw)
    assert states(lines) == {"log": "ok", "refusal": "ok", "policy": "ok"}
    assert [leaf["kind"] for leaf in path.leaves()] == ["log.canary", "call.refused"]
    assert path.leaves()[1]["code"] == "TOOL_UNKNOWN"
    assert path.executor.calls == []


class Forgetful:
    """A reader that finds nothing of what was stored."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def leaf(self, index: int) -> None:
        return None


class Agreeing(Regorus):
    """An engine that allows whatever it is asked."""

    async def evaluate(self, point: Point, document: JsonObject) -> JsonObject:
        return {"effect": "allow", "reasons": [], "obligations": [], "hide": []}


class Breaking(Regorus):
    """An engine that breaks on each result."""

    async def evaluate(self, point: Point, document: JsonObject) -> JsonObject:
        if point is Point.RESULT:
            raise RuntimeError("broken")
        return await super().evaluate(point, document)


async def allowed(call: Call, gw: Gateway) -> Reply:
    return Reply(result={"content": []})


def forgets(path: DataPath, _: pytest.MonkeyPatch) -> None:
    path.gw.archive = replace(path.gw.archive, reader=Forgetful(path.gw.archive.reader))


def agrees(path: DataPath, _: pytest.MonkeyPatch) -> None:
    path.gw.pdp = Agreeing(path.gw.pdp.bundle)


def breaks(path: DataPath, _: pytest.MonkeyPatch) -> None:
    path.gw.pdp = Breaking(path.gw.pdp.bundle)


def lets_through(path: DataPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "serve", allowed)


@pytest.mark.promise("start.proves-itself")
@pytest.mark.parametrize(
    ("spoil", "line", "told"),
    [
        (forgets, "log", "cannot be read back"),
        (agrees, "policy", "the policy answers allow to a call that the shipped entry denies"),
        (breaks, "policy", "the policy fails at `result` on a canary"),
        (lets_through, "refusal", "was not refused"),
    ],
)
async def test_a_gateway_that_does_not_keep_its_word_may_not_start(
    path: DataPath,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[DataPath, pytest.MonkeyPatch], None],
    line: str,
    told: str,
) -> None:
    spoil(path, monkeypatch)
    lines = await selftest.run(path.gw)
    assert {name for name, state in states(lines).items() if state == "fail"} == {line}
    with pytest.raises(ConfigError, match="the start was refused") as refused:
        await selftest.refuse_unless_sound(path.gw)
    assert f"{line}: " in str(refused.value)
    assert told in str(refused.value)


@pytest.mark.promise("start.proves-itself")
async def test_a_log_that_cannot_commit_is_named_with_its_cause(path: DataPath) -> None:
    await path.gw.log.close()
    lines = {line.name: line for line in await selftest.run(path.gw)}
    assert lines["log"].state == "fail"
    assert lines["log"].fix == "the log is closed"


@pytest.mark.parametrize(
    ("uid", "state", "evidence"),
    [
        (0, "warn", "SHARED-UID: runs as root"),
        (1, "ok", "OWN-UID: runs as the system user daemon"),
        (1000, "warn", "SHARED-UID: runs as "),
        (4_000_000, "warn", "SHARED-UID: runs as 4000000;"),
    ],
)
def test_separation_says_whether_the_gateway_has_a_user_of_its_own(
    monkeypatch: pytest.MonkeyPatch, uid: int, state: str, evidence: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    line = selftest.separation()
    assert (line.state, line.evidence[: len(evidence)]) == (state, evidence)
    assert (line.fix == "") is (state == "ok")
    assert line.told() == {"name": "separation", "state": line.state, "evidence": line.evidence, "fix": line.fix}
