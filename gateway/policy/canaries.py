"""What a policy is asked before it may decide: a call that nobody may make, and the worst inputs there can be.

A panic, an answer that is none, or an evaluation that takes too long refuses the policy while the old one still serves.
"""

from collections.abc import Iterator

from gateway.errors import ConfigError, Refused
from gateway.model import Code, Effect, JsonObject, Point
from gateway.policy import Pdp
from gateway.policy.decide import decide, hidden

NOBODY = "bascule:canary"
"""A principal that no configuration can name and the shipped entry always denies."""
MANY = 1_000
LONG = 60_000
"""Below `limits.policy_value_kb`, so that the engine really sees it."""


async def prove(pdp: Pdp) -> str:
    """Ask; the evidence in words.

    Raises:
        ConfigError: the policy must not decide anything.
    """
    denied = await _asked(pdp, Point.CALL, _call(NOBODY, {}))
    if denied is not Effect.DENY:
        raise ConfigError(
            f"the policy answers {denied} to a call that the shipped entry denies: a rule replaces the entry"
        )
    asked = 1
    for point, document in _worst():
        await _asked(pdp, point, document)
        asked += 1
    return f"{asked} canaries on {pdp.engine}: the reserved one was denied, none failed or took too long"


async def _asked(pdp: Pdp, point: Point, document: JsonObject) -> Effect:
    try:
        if point is Point.LIST:
            await hidden(pdp, document)
            return Effect.ALLOW
        return (await decide(pdp, point, document, id="canary")).effect
    except Refused as refusal:
        if refusal.code is Code.TOO_LARGE:  # refused before any policy is asked, as a call like it would be
            return Effect.DENY
        raise ConfigError(f"the policy fails at `{point}` on a canary: {refusal.detail or refusal.reason}") from None


def _worst() -> Iterator[tuple[Point, JsonObject]]:
    texts = ["", "\x00", "x" * LONG, "é" * (LONG // 2), "a/" * (LONG // 2), "\U0001f600" * (LONG // 4)]
    for text in texts:
        yield Point.CALL, _call("worst", dict.fromkeys(("path", "text", "url", "query", "name"), text))
    deep: JsonObject = {}
    for _ in range(50):
        deep = {"deep": deep, "list": [deep]} if len(str(deep)) < LONG else {"deep": deep}
    yield Point.CALL, _call("worst", deep)
    yield Point.CALL, _call("worst", {f"name{number}": number for number in range(MANY)})
    yield Point.RESULT, _result()
    yield Point.EXECUTE, _approval(Point.EXECUTE)
    yield Point.APPROVE, _approval(Point.APPROVE)
    yield Point.LIST, _list()


def _call(principal: str, args: JsonObject) -> JsonObject:
    labels = [f"label{number}" for number in range(MANY)] if args else []
    return {
        "v": 1,
        "point": "call",
        "time": "2026-01-01T00:00:00Z",
        "call": {"kind": "tool", "protocol": "mcp", "era": "2026-07-28", "transport": "http"},
        "principal": {"id": principal, "tenant": "default", "roles": labels, "person": None, "chain": []},
        "upstream": "canary",
        "tool": _tool("canary"),
        "args": args,
        "typed": {},
        "session": {"labels": labels, "writes": 2**53, "sources": labels[:64]},
        "task": {"id": "canary", "runs": 2**53},
        "state": {},
        "budget": {},
        "checks": [],
    }


def _result() -> JsonObject:
    finding = {"kind": "tag", "where": "/content/0/text"}
    return {
        **_call("worst", {"path": ""}),
        "point": "result",
        "checks": [{"name": "hidden_text", "verdict": "fail", "score": 100, "threshold": 0}],
        "result": {"size": 2**24, "tool_error": False, "findings": [finding] * 100},
    }


def _approval(point: Point) -> JsonObject:
    call = _call("worst", {"path": ""})
    names = [f"name{number}" for number in range(MANY)]
    asked = {"requester": call["principal"], "roles": names, "signed": True, "by": names}
    return {**call, "point": str(point), "approval": {"id": "canary", "run": "canary", **asked}}


def _list() -> JsonObject:
    call = _call("worst", {"path": ""})
    return {
        "v": 1,
        "point": "list",
        "call": call["call"],
        "principal": call["principal"],
        "upstream": "canary",
        "tools": [_tool(f"tool{number}") for number in range(MANY)],
        "session": {"labels": call["session"]["labels"]},
    }


def _tool(name: str) -> JsonObject:
    manifest = {"effects": ["unknown"], "reversal": "unknown", "inferred": False, "trust": "untrusted"}
    return {
        "upstream": "canary",
        "name": name,
        "pin": "sha256:" + "0" * 64,
        "sandbox": "",
        "manifest": {**manifest, "labels": [], "destinations": []},
    }
