"""What the caller is told: a refusal as a result the model can act on, and the decision beside every result.

Nothing an upstream, a parser or an exception said gets in here: only codes and our own sentences.
"""

from gateway.errors import JSONRPC_NUMBER
from gateway.model import Code, JsonObject, Reply

DECISION = "bascule/decision"
RECEIPT = "bascule/receipt"
INVALID_PARAMS = -32602
METHOD_NOT_FOUND = -32601
RESOURCE_MISSING = {-32002: INVALID_PARAMS}
"""Until 2025-11-25 a resource that is not there had a number of its own."""
PASSED_TO_ALL = frozenset({-32021, -32042})
"""A capability that the client did not declare; an address that a person must visit first."""
PASSED = PASSED_TO_ALL | {INVALID_PARAMS, METHOD_NOT_FOUND}


def refusal(
    code: Code,
    reason: str,
    *,
    run: str,
    would_pass: str = "",
    decision: str = "",
    kind: str = "tool",
    retry_after_s: int = 0,
) -> Reply:
    """A refused or failed call (surface.md, Refusals): `isError` and one plain sentence for a tool,
    a JSON-RPC error 1000+n elsewhere."""
    told: JsonObject = {"code": code.value, "effect": "deny", "run": run, "reasons": [reason]}
    if decision:
        told["id"] = decision
    if would_pass:
        told["would_pass"] = would_pass
    if retry_after_s:
        told["retry_after_s"] = retry_after_s
    if kind != "tool":
        return Reply(error={"code": JSONRPC_NUMBER[code], "message": reason, "data": told})
    sentence = f"{code.value}: {reason}." + (f" It would pass with: {would_pass}." if would_pass else "")
    return Reply(result={"content": [{"type": "text", "text": sentence}], "isError": True, "_meta": {DECISION: told}})


def fault(given: JsonObject, reason: str, *, kind: str, name: str) -> Reply | None:
    """The upstream's own protocol error, by its number, where the specification gives the caller that number."""
    code = RESOURCE_MISSING.get(given["code"], given["code"]) if kind == "resource" else given["code"]
    if code not in (PASSED_TO_ALL if kind == "tool" else PASSED):
        return None
    error: JsonObject = {"code": code, "message": reason}
    if "data" in given:
        error["data"] = given["data"]
    elif kind == "resource" and code == INVALID_PARAMS:
        error["data"] = {"uri": name}
    return Reply(error=error)


def unknown(reason: str, *, would_pass: str = "") -> Reply:
    """A hidden, foreign or missing name: the same bytes for all, so that no run id tells them apart."""
    message = f"{reason}. It would pass with: {would_pass}." if would_pass else reason
    return Reply(error={"code": INVALID_PARAMS, "message": message})


def no_method() -> Reply:
    """A method that is not served here, whether or not anybody knows it."""
    return Reply(error={"code": METHOD_NOT_FOUND, "message": "unknown method"})


def granted(result: JsonObject, told: JsonObject) -> Reply:
    """The tool's result with the decision beside it; the upstream's own `_meta` under other names is kept."""
    meta = result.get("_meta")
    kept = {key: value for key, value in meta.items() if not key.startswith("bascule/")} if meta else {}
    return Reply(result=result | {"_meta": kept | told})
