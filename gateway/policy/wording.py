"""A suggestion as Rego: a file of rules to read and keep, formatted as `opa fmt` would.

It holds the values that the rules need (folders, hosts, names) and none of the texts that were left open.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.policy.suggestion import ANY, Grant, Left, Place, Steps, Subject, Suggestion

FILE, TESTS = "suggested.rego", "suggested_test.rego"
FIRST = "# Written by `bascule policy suggest`"
_HEAD = """{first} from {calls} calls that were recorded{span}. Read it before it decides.
#
# Each rule lets one subject call one tool with what was seen: the arguments of a call may combine what stands in
# different lines. It holds values of arguments (folders, hosts, names): show it to nobody who may not see the log.
# Nothing here weakens a deny, or an approval that another rule requires whatever else is allowed.
package bascule.call
"""
_HELPED = {
    "seen_keys": """# The holder has every required name, and none that was not seen.
seen_keys(holder, required, known) if {
	names := object.keys(holder)
	required - names == set()
	names - known == set()
}
""",
    "seen_inside": """# The path is one of the folders or lies below one.
seen_inside(pointer, folders) if input.typed[pointer].value in folders

seen_inside(pointer, folders) if {
	some folder in folders
	startswith(input.typed[pointer].value, concat("", [folder, "/"]))
}
""",
    "seen_origin": """# The url is of this scheme, host and port.
seen_origin(pointer, origins) if {
	value := input.typed[pointer]
	[value.scheme, value.host, value.port] in origins
}
""",
    "seen_value": """# The typed value is one that was seen.
seen_value(pointer, values) if input.typed[pointer].value in values
""",
    "seen_below": """# A path that no manifest describes: below a folder, and written so that all read it alike.
seen_below(path, folders) if path in folders

seen_below(path, folders) if {
	count(path) <= 4096
	some folder in folders
	startswith(path, concat("", [folder, "/"]))
	{step | some step in split(path, "/")} & {".", ".."} == set()
	{sign | some sign in ["\\\\", "%", "~"]; contains(path, sign)} == set()
}
""",
    "seen_at": """# A url that no manifest describes: it begins with a scheme and host that were seen.
seen_at(url, origins) if url in origins

seen_at(url, origins) if {
	some origin in origins
	startswith(url, concat("", [origin, "/"]))
}
""",
}
"""What the rules use; only what is used is written."""
_CALLS = {
    "folders": "seen_inside",
    "origins": "seen_origin",
    "one_of": "seen_value",
    "text_folders": "seen_below",
    "text_origins": "seen_at",
}


def policy(suggestion: Suggestion, *, span: str = "") -> str:
    """The file of rules."""
    calls = sum(grant.calls for grant in suggestion.grants)
    rules = [_rule(grant) for grant in suggestion.grants]
    text = "\n".join(rules)
    helped = [rule for name, rule in _HELPED.items() if f"{name}(" in text]
    head = _HEAD.format(first=FIRST, calls=calls, span=span)
    return "\n".join([head, *_left(suggestion.left), *rules, *helped])


def literal(value: Any) -> str:
    """A value as Rego, on one line."""
    return json.dumps(value, ensure_ascii=False)


def a_set(values: Iterable[Any]) -> str:
    """A set as Rego."""
    return "{" + inner + "}" if (inner := ", ".join(map(literal, values))) else "set()"


def escaped(step: str) -> str:
    """A name as a token of a JSON pointer."""
    return step.replace("~", "~0").replace("/", "~1")


def _left(left: Iterable[Left]) -> Iterable[str]:
    lines = [f"#   {_remark(f'{one.who}, {one.upstream}/{one.tool}, {one.calls} calls: {one.why}')}" for one in left]
    if lines:
        yield "\n".join(["# Left to you, since no rule here could allow it honestly:", *lines]) + "\n"


def _rule(grant: Grant) -> str:
    by_steps = {place.steps: place for place in grant.places}
    open_ = [f"{'/'.join(p.steps)} ({p.constraint.why})" for p in grant.places if p.constraint and p.constraint.why]
    said = f" Left open: {', '.join(open_)}." if open_ else ""
    lines = [
        *_who(grant.subject),
        f"input.tool.upstream == {literal(grant.upstream)}",
        f"input.tool.name == {literal(grant.tool)}",
    ]
    for place in grant.places:
        lines += _condition(place, by_steps)
    body = "\n".join(f"\t{line}" for line in lines)
    remark = _remark(f"{grant.calls} call{'s' if grant.calls > 1 else ''} seen.{said}")
    return f"# {remark}\nallow contains {literal(grant.name)} if {{\n{body}\n}}\n"


def _who(subject: Subject) -> list[str]:
    tenant = f"input.principal.tenant == {literal(subject.tenant)}"
    if subject.kind == "role":
        return [f"{literal(subject.name)} in input.principal.roles", tenant]
    return [f"input.principal.id == {literal(subject.name)}", tenant]


def _condition(place: Place, by_steps: Mapping[Steps, Place]) -> list[str]:
    """The lines that hold one place to what was seen, inside a line for each array and each name that may be absent."""
    if place.known is None and (place.constraint is None or place.constraint.kind == "free"):
        return []
    opened, at, pointer = _reached(place, by_steps)
    if place.known is not None:
        said = [f"seen_keys({at}, {a_set(place.required)}, {a_set(place.known)})"]
    else:
        said = _held(place, at, pointer)
    for key, value, of in reversed(opened):
        used = [name if any(re.search(rf"\b{name}\b", line) for line in said) else "_" for name in (key, value)]
        line = f"every {', '.join(used if key else used[1:])} in {of}"
        said = [f"{line} {{ {said[0]} }}"] if len(said) == 1 else [f"{line} {{", *(f"\t{one}" for one in said), "}"]
    return said


def _held(place: Place, at: str, pointer: str) -> list[str]:
    constraint = place.constraint
    assert constraint is not None
    if constraint.kind == "range":
        low, high = map(literal, constraint.values)
        return [f"{at} >= {low}", f"{at} <= {high}"]
    if constraint.kind == "one_of" and not place.typed:
        return [f"{at} in {a_set(constraint.values)}"]
    return [f"{_CALLS[constraint.kind]}({pointer if place.typed else at}, {a_set(constraint.values)})"]


def _reached(place: Place, by_steps: Mapping[Steps, Place]) -> tuple[list[tuple[str, str, str]], str, str]:
    """What to go through (key, value, of what), how the value is then called, and its pointer, both as Rego."""
    opened: list[tuple[str, str, str]] = []
    at, tokens, numbered = "input.args", [""], False
    for depth, step in enumerate(place.steps, start=1):
        name = f"at_{depth}"
        if step == ANY:
            opened.append((name if place.typed else "", f"value_{depth}", at))
            at, numbered = f"value_{depth}", True
            tokens.append(name)
        elif by_steps[place.steps[:depth]].always:
            at = f"{at}.{step}" if _PLAIN.fullmatch(step) else f"{at}[{literal(step)}]"
            tokens.append(literal(escaped(step)))
        else:
            opened.append(("_", f"value_{depth}", f"object.filter({at}, {a_set([step])})"))
            at = f"value_{depth}"
            tokens.append(literal(escaped(step)))
    return opened, at, _pointer(place.steps, tokens[1:], numbered=numbered)


def _pointer(steps: Steps, tokens: list[str], *, numbered: bool) -> str:
    if not numbered:
        return literal("".join(f"/{escaped(step)}" for step in steps))
    pairs = zip(steps, tokens, strict=True)
    parts = [f"format_int({token}, 10)" if step == ANY else token for step, token in pairs]
    return f'concat("/", ["", {", ".join(parts)}])'


def _remark(text: str) -> str:
    """On one line, whatever an argument is called."""
    return text.encode("unicode_escape").decode("ascii")


_PLAIN = re.compile(
    r"(?!(as|contains|data|default|else|every|false|if|import|in|input|not|null|package|set|some|true|with)$)"
    r"[A-Za-z_][A-Za-z0-9_]*"
)
"""A name that may stand behind a dot."""
