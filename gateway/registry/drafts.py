"""A manifest drafted from what a server says of its tools: names, schemas and annotations. Pure.

All of it is the server's own word. A name or a schema is believed where it makes things stricter or where the
annotations agree; an annotation alone only ever adds. Every entry is marked `inferred`, so that policy can tell it
from what a person stated.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.model import JsonObject
from gateway.registry.arguments import Argument, arguments, words

EFFECTS = ("read", "write", "delete", "execute", "egress", "user_facing", "money", "config", "unknown")
"""In the order in which they are written."""
_FIRST = {
    "read": "browse|check|compare|convert|count|describe|diff|find|get|has|is|list|log|lookup|open|peek|query|read"
    "|resolve|search|select|show|stat|status|summarize|tree|view|watch",
    "egress": "crawl|download|fetch|navigate|ping|request|scrape|visit",
    "user_facing": "answer|ask|comment|mail|message|notify|post|publish|reply|send|share|tweet",
    "config": "configure|toggle",
}
"""Verbs, only as the first of a name: as a later word they are mostly nouns."""
_ANYWHERE = {
    "write": "add|append|apply|assign|checkout|close|commit|copy|create|edit|import|insert|merge|move|patch|push|put"
    "|rename|replace|save|set|store|sync|update|upload|upsert|write",
    "delete": "clear|delete|destroy|drop|erase|kill|prune|purge|remove|reset|revert|truncate|uninstall|unlink|wipe",
    "execute": "call|deploy|eval|evaluate|exec|execute|install|invoke|launch|restart|run|shell|spawn|start|stop"
    "|trigger",
    "user_facing": "email|invite",
    "money": "buy|charge|pay|payout|purchase|refund|subscribe|transfer|withdraw",
    "config": "disable|enable|grant|permission|permissions|revoke|setting|settings",
    "egress": "http|webhook",
}
"""Words that say so wherever they stand."""
_FIRST_OF = {effect: frozenset(listed.split("|")) for effect, listed in _FIRST.items()}
_ANY_OF = {effect: frozenset(listed.split("|")) for effect, listed in _ANYWHERE.items()}
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
WORK = "/work"
"""The working directory of a server that runs confined, and the one place it may always write to."""
_GOES = {"url", "email"}
"""Types whose values are places that something can go to."""


def draft(definitions: Iterable[JsonObject], folders: Sequence[str] = ()) -> dict[str, JsonObject]:
    """By tool, what a manifest would state; `folders` are what the server is given, as roots of its paths."""
    return {str(definition["name"]): _entry(definition, folders) for definition in definitions}


def text(upstream: str, entries: Mapping[str, JsonObject], said: Mapping[str, str]) -> str:
    """The file, with a remark on each tool; whatever a tool is called, YAML reads it."""
    lines = [
        "# yaml-language-server: $schema=schema.json",
        f"# Drafted from what {json.dumps(upstream)} says of its own tools; nobody has looked at it yet.",
        "# Correct it, then take out `inferred`: policy allows no write on an inferred entry's word.",
        "tools:" if entries else "tools: {}",
    ]
    for name, entry in entries.items():
        remark = said.get(name, "")
        lines.append(f"  {_key(name)}:{f'  # {remark}' if remark else ''}")
        for key, value in entry.items():
            if key == "types":
                lines.append("    types:")
                lines += [f"      {json.dumps(pointer)}: {_flow(spec)}" for pointer, spec in value.items()]
            else:
                lines.append(f"    {key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def remark(definition: JsonObject) -> str:
    """Where a tool's name and its own annotations disagree, for whoever corrects the draft."""
    named, hints = _named(definition), _hints(definition)
    if hints.get("readOnlyHint") is True and named != {"read"}:
        return "its annotation says that it only reads; its name does not"
    if hints.get("readOnlyHint") is False and named == {"read"}:
        return "its name says that it reads; its annotation does not"
    return ""


def _entry(definition: JsonObject, folders: Sequence[str]) -> JsonObject:
    found = list(arguments(definition.get("inputSchema")))
    effects = _effects(definition, found)
    entry: JsonObject = {
        "effects": [effect for effect in EFFECTS if effect in effects],
        "reversal": "none" if effects == {"read"} else "unknown",
    }
    if _hints(definition).get("idempotentHint") is False:
        entry["idempotent"] = False
    types = {argument.pointer: _type(argument, folders) for argument in found if argument.type}
    if types:
        entry["types"] = types
    destinations = [argument.pointer for argument in found if argument.type in _GOES or argument.addressee]
    if destinations:
        entry["destinations"] = destinations
    return entry | {"trust": "untrusted", "inferred": True}


def _effects(definition: JsonObject, found: Sequence[Argument]) -> set[str]:
    hints, effects = _hints(definition), _named(definition)
    if hints.get("readOnlyHint") is False and effects <= {"read"}:
        effects |= {"write"}
    if hints.get("destructiveHint") is True and hints.get("readOnlyHint") is not True:
        effects |= {"delete"}
    if hints.get("openWorldHint") is True or any(argument.type == "url" for argument in found):
        effects |= {"egress"}
    if any(argument.type == "email" or argument.addressee for argument in found) and effects != {"read"}:
        effects |= {"user_facing"}
    # What only an annotation or an argument gives away says nothing of the rest.
    return effects if _named(definition) else effects | {"unknown"}


def _named(definition: JsonObject) -> set[str]:
    """What the name says; nothing where it says nothing."""
    parts = words(str(definition["name"]))
    effects = {effect for effect, known in _ANY_OF.items() if known.intersection(parts)}
    first = next((word for word in parts if any(word in known for known in _FIRST_OF.values())), None)
    if first is not None and (not effects or first == parts[0]):
        effects |= {effect for effect, known in _FIRST_OF.items() if first in known}
    return effects


def _hints(definition: JsonObject) -> Mapping[str, Any]:
    hints = definition.get("annotations")
    return hints if isinstance(hints, dict) else {}


def _type(argument: Argument, folders: Sequence[str]) -> Any:
    if argument.type == "path" and folders:
        return {"type": "path", "relative_to": WORK, "roots": [*folders, WORK]}
    return argument.type


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) and name.lower() not in _RESERVED else json.dumps(name)


def _flow(value: Any) -> str:
    """A value as one line of YAML; JSON is YAML."""
    if isinstance(value, list):
        return f"[{', '.join(_flow(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    return value if isinstance(value, str) and _key(value) == value else json.dumps(value)
