"""Writes the reference pages: commands, settings and codes as the program itself knows them.

`make docs` runs this through cog, `make check` fails where a page is behind.
Run as a program it writes bascule.schema.json.
"""
# ruff: noqa: INP001 - docs is a folder of pages, this file its only code

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command
from typer.testing import CliRunner

from gateway.cli.commands import app
from gateway.cli.terminal import Status, status_of_code
from gateway.config import json_schema
from gateway.errors import JSONRPC_NUMBER, SOFTENED_BY_SHADOW
from gateway.model import Code, JsonObject
from gateway.runs.states import TRANSITIONS

WIDTH = 100
SCHEMA_FILE = Path(__file__).parent / "bascule.schema.json"

STATUSES = {
    Status.DONE: "done",
    Status.FAILED: "failed: what was asked could not be done, a test failed, a check found something",
    Status.USAGE: "wrong usage or a bad configuration: the message names file, line, key and what would be right",
    Status.REFUSED: "refused by policy or validation",
    Status.WAITING: "the call needs an approval",
    Status.TOOL_ERROR: "the tool itself reported an error",
    Status.NOT_INTACT: "the log or the state is not intact",
}


class Meaning(NamedTuple):
    """What a code means to the caller, and what is to be done about it."""

    meaning: str
    remedy: str


MEANINGS = {
    Code.PARSE: Meaning(
        "The message is no strict JSON-RPC: bad JSON, a duplicate key, an unknown envelope key, nested too deep.",
        "Send one well-formed message.",
    ),
    Code.HEADER_MISMATCH: Meaning(
        "A header is missing, given twice, or says other than the body.", "Send headers that match the body."
    ),
    Code.TOO_LARGE: Meaning("The request is larger than `limits.body_mb`.", "Send less, or raise the limit."),
    Code.SCHEMA: Meaning(
        "The arguments do not fit the tool's accepted input schema.", "Correct the argument that the reason names."
    ),
    Code.SEMANTIC: Meaning(
        "An argument is not the path, address or other typed value that the manifest says it is.",
        "Correct the argument; `manifests/` states the type.",
    ),
    Code.CONTEXT: Meaning("The call does not fit what is known now.", "Bring about what the reason names."),
    Code.NO_RULE: Meaning("No policy rule allows this call.", "Add a rule under `allow`, or call what is allowed."),
    Code.POLICY_DENIED: Meaning(
        "A policy rule denies this call; the reasons are the rule's own.", "Do what `would_pass` names, if it is there."
    ),
    Code.POLICY_ENGINE: Meaning(
        "The policy engine failed or took too long, so nothing was allowed.",
        "Operator: `bascule audit show RUN` has the cause; mend the policy or the engine.",
    ),
    Code.OBLIGATION: Meaning(
        "The policy allows under an obligation that is unknown, contradicts another or cannot be met.",
        "Operator: correct the rule's `obligations`.",
    ),
    Code.APPROVAL_REQUIRED: Meaning(
        "A person must approve this call first, or has not answered yet.",
        "Make the same call again once it is granted. Operator: `bascule approvals grant`; enroll an approver.",
    ),
    Code.APPROVAL_EXPIRED: Meaning("Nobody answered in time.", "Ask again."),
    Code.BUDGET: Meaning("The call would exceed a budget.", "Wait `retry_after_s` where it stands, or raise it."),
    Code.RATE: Meaning("There were too many calls for now.", "Wait `retry_after_s`."),
    Code.BRAKED: Meaning("An operator has stopped calls like this one.", "Wait until the brake is released."),
    Code.TOOL_UNKNOWN: Meaning(
        "There is no such tool, prompt, resource or task for this principal; hidden and missing ones look the same.",
        "List the tools. Operator: `bascule upstream show NAME`.",
    ),
    Code.TOOL_DRIFTED: Meaning(
        "The upstream now offers another definition than the one accepted.",
        "Operator: read the difference with `bascule upstream show NAME`, then `accept` or `quarantine`.",
    ),
    Code.SANDBOX_UNAVAILABLE: Meaning(
        "The sandbox that this tool needs cannot be had here.", "`bascule doctor` says why."
    ),
    Code.SANDBOX_VIOLATION: Meaning("The tool tried what its sandbox forbids and was stopped.", "Do not repeat it."),
    Code.UPSTREAM_UNAVAILABLE: Meaning(
        "The upstream could not be reached; the call did not arrive there.", "Try again later; check its address."
    ),
    Code.UPSTREAM_TIMEOUT: Meaning(
        "The upstream did not answer in time; the effect may have happened.",
        "See what happened before repeating it; `bascule runs list --unfinished`.",
    ),
    Code.UPSTREAM_INVALID: Meaning(
        "The upstream answered what is no valid result for this call.", "Report it to whoever runs the upstream."
    ),
    Code.RESULT_WITHHELD: Meaning(
        "The call ran, its result is not given out: too large, or the policy withholds it.",
        "Ask for less, or for what the reasons leave.",
    ),
    Code.ROLLED_BACK: Meaning(
        "The call ran and its effect was taken back.", "Do what `would_pass` names, if it is there."
    ),
    Code.OUTCOME_UNKNOWN: Meaning(
        "The call ran and how it ended could not be established.", "Do not repeat it; ask the operator."
    ),
    Code.LOG_UNAVAILABLE: Meaning(
        "The audit log cannot commit, so nothing runs.", "Operator: disk and log of the gateway; then try again."
    ),
    Code.UNAUTHENTICATED: Meaning("The bearer token is missing or unknown.", "Send a token that `principals` names."),
    Code.FORBIDDEN: Meaning("The principal, host or origin may not use this address.", "Use the one meant for it."),
    Code.APPROVAL_DENIED: Meaning("A person has said no.", "Do not repeat it unchanged."),
    Code.KEY_REUSED: Meaning("The idempotency key belongs to another call.", "Use a key of its own for each call."),
    Code.FROZEN: Meaning("An earlier run on the same scope ended unknown.", "Operator: resolve that run first."),
    Code.CANCELLED: Meaning(
        "The client gave the call up, or did not answer what its upstream asked.",
        "Ask what it did before repeating it: unless it only reads, its effect may have happened.",
    ),
}
"""The one place where codes are explained."""


def commands() -> str:
    """Each command's help as it prints it."""
    return "\n".join(
        f"## bascule {' '.join(path)}\n\n```text\n{_help(path)}\n```\n" for path in command_paths(get_command(app))
    )


def command_paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command there is, groups left out."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path
        return
    for name, one in inner.items():
        yield from command_paths(one, (*path, name))


def statuses() -> str:
    """The exit codes."""
    return _table(("status", "meaning"), [(str(int(status)), text) for status, text in STATUSES.items()])


def settings() -> str:
    """Each key with type, default and meaning, in a table for each part of the file."""
    schema = json_schema()
    parts = [f"## The file\n\n{_keys(schema, schema)}"]
    for key, inner in _parts(schema):
        parts.append(f"## {key}\n\n{inner.get('description', '')}\n\n{_keys(inner, schema)}")
    return "\n\n".join(parts)


def codes() -> str:
    """Each code: its number, how a command ends with it, what it means, what to do."""
    rows = [
        (
            f"`{code}`",
            str(JSONRPC_NUMBER[code]),
            str(int(status_of_code(code))),
            "passes" if code in SOFTENED_BY_SHADOW else "refuses",
            MEANINGS[code].meaning,
            MEANINGS[code].remedy,
        )
        for code in Code
    ]
    return _table(("code", "JSON-RPC", "exit", "in shadow", "meaning", "what to do"), rows)


def policy_input() -> str:
    """Every field of the document that policies are asked about."""
    schema = json.loads((SCHEMA_FILE.parent.parent / "policies" / "schemas" / "input.json").read_bytes())
    rows = [(f"`{path}`", kind, meaning) for path, kind, meaning in _fields(schema, schema, "input")]
    return _table(("field", "type", "meaning"), rows)


def run_states() -> str:
    """The table of transitions as a diagram."""
    arrows = [
        f"    {before or '[*]'} --> {after}: {event.value}"
        for before, row in TRANSITIONS.items()
        for event, after in row.items()
    ]
    ends = [f"    {state} --> [*]" for state, row in TRANSITIONS.items() if state is not None and not row]
    return "\n".join(["```mermaid", "stateDiagram-v2", *arrows, *ends, "```"])


def _fields(schema: JsonObject, root: JsonObject, path: str) -> Iterator[tuple[str, str, str]]:
    if reference := schema.get("$ref"):
        schema = root["$defs"][reference.rpartition("/")[2]] | {"description": schema.get("description", "")}
    for name, inner in schema.get("properties", {}).items():
        known = root["$defs"][inner["$ref"].rpartition("/")[2]] | inner if "$ref" in inner else inner
        kind = known.get("type", "object")
        choice = " (" + ", ".join(map(str, known["enum"])) + ")" if "enum" in known else ""
        label = " or ".join(kind) if isinstance(kind, list) else str(kind)
        yield f"{path}.{name}", f"{label}{choice}", known.get("description", "")
        if kind == "array":
            yield from _fields(known.get("items", {}), root, f"{path}.{name}[_]")
        elif isinstance(known.get("additionalProperties"), dict):
            yield from _fields(known["additionalProperties"], root, f"{path}.{name}[_]")
        else:
            yield from _fields(known, root, f"{path}.{name}")


def setting_names(schema: JsonObject) -> Iterator[str]:
    """Every key of the file, dotted; NAME stands for a name the operator gives."""
    yield from schema["properties"]
    for key, inner in _parts(schema):
        yield from (f"{key}.{name}" for name in inner["properties"])


def _help(path: tuple[str, ...]) -> str:
    shown = CliRunner().invoke(app, [*path, "--help"], prog_name="bascule", terminal_width=WIDTH)
    return shown.output.strip()


def _parts(schema: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    """The mappings inside the file, by their place in it."""
    places = {
        "listen": "Listen",
        "principals.NAME": "PrincipalSettings",
        "approvers.NAME": "ApproverSettings",
        "notify.NAME": "NotifySettings",
        "budgets.NAME": "BudgetSettings",
        "budgets.NAME.where": "WhereSettings",
        "budgets.NAME.cost": "CostSettings",
        "upstreams.NAME": "UpstreamSettings",
        "upstreams.NAME.network": "NetworkSettings",
        "upstreams.NAME.oauth": "OAuthSettings",
        "views.NAME": "ViewSettings",
        "policy": "PolicySettings",
        "policy.data[]": "DataSettings",
        "audit": "AuditSettings",
        "limits": "LimitSettings",
    }
    for place, definition in places.items():
        yield place, schema["$defs"][definition]


def _keys(schema: JsonObject, root: JsonObject) -> str:
    required = schema.get("required", [])
    rows = [
        (f"`{name}`", _type(one, root), _default(name, one, required), _meaning(one, root))
        for name, one in schema["properties"].items()
    ]
    return _table(("key", "type", "default", "meaning"), rows)


def _meaning(schema: JsonObject, root: JsonObject) -> str:
    part = root["$defs"].get(schema.get("$ref", "").rpartition("/")[2], {})
    meaning: str = schema.get("description") or part.get("description", "")
    return meaning


def _type(schema: JsonObject, root: JsonObject) -> str:
    if reference := schema.get("$ref"):
        return _type(root["$defs"][reference.rpartition("/")[2]], root)
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if choices := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_type(choice, root) for choice in choices))
    kind: str = schema["type"]
    word = {"object": "mapping", "array": "list", "null": "`null`"}.get(kind, kind)
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    return f"{word}, {low} to {high}" if low is not None else f"{schema['format']}" if "format" in schema else word


def _default(name: str, schema: JsonObject, required: list[str]) -> str:
    if name in required:
        return "required"
    return f"`{json.dumps(schema['default'])}`" if schema.get("default") is not None else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    SCHEMA_FILE.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
