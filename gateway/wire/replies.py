"""What the caller is told: a refusal as a result the model can act on, and the decision beside every result.

Nothing an upstream, a parser or an exception said gets in here: only codes and our own sentences.
"""

from gateway.errors import JSONRPC_NUMBER
from gateway.model import Code, JsonObject, Reply

DECISION = "bascule/decision"
RECEIPT = "bascule/receipt"
INVALID_PARAMS = -32602


def refusal(
    code: Code, reason: str, *, run: str, would_pass: str = "", decision: str = "", kind: str = "tool"
) -> Reply:
    """A refused or failed call (surface.md, Refusals): `isError` and one plain sentence for a tool,
    a JSON-RPC error 1000+n elsewhere."""
    told: JsonObject = {"code": code.value, "effect": "deny", "run": run, "reasons": [reason]}
    if decision:
        told["id"] = decision
    if would_pass:
        told["would_pass"] = would_pass
    if kind != "tool":
        return Reply(error={"code": JSONRPC_NUMBER[code], "message": reason, "data": told})
    sentence = f"{code.value}: {reason}." + (f" It would pass with: {would_pass}." if would_pass else "")
    return Reply(result={"content": [{"type": "text", "text": sentence}], "isError": True, "_meta": {DECISION: told}})


def unknown(reason: str) -> Reply:
    """A hidden, foreign or missing name: the same bytes for all, so that no run id tells them apart."""
    return Reply(error={"code": INVALID_PARAMS, "message": reason})


def granted(result: JsonObject, told: JsonObject) -> Reply:
    """The tool's result with the decision beside it; the upstream's own `_meta` under other names is kept."""
    meta = result.get("_meta")
    kept = {key: value for key, value in meta.items() if not key.startswith("bascule/")} if meta else {}
    return Reply(result=result | {"_meta": kept | told})
