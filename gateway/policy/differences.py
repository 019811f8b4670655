"""What the engine in process does not have, does differently from OPA, or answers differently each time.

Each is refused at load with what to write instead or with the engine that has it right.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.errors import ConfigError
from gateway.model import JsonObject
from gateway.policy.builtins import DEPRECATED, DIFFERENT, OPA_HAS, SIGNATURES, VOLATILE
from gateway.policy.scopes import pattern_names
from gateway.policy.syntax import Module, Node, Rule, Statement, name_of, statements

REMEDY = "set `policy.engine: opa`, which has it"
_EMPTY_ALTERNATIVE = re.compile(r"\{,|,,|,\}|\{\}")
_VERB = re.compile(r"%(%|[^%a-zA-Z]*[a-zA-Z]|$)")
_VERBS = {"s", "d", "%"}


def check(modules: Iterable[Module], theirs: frozenset[str], data: JsonObject) -> None:
    """Refuses the first such thing in the files of `theirs`."""
    empty = any(_EMPTY_ALTERNATIVE.search(text) for text in _texts(data))
    known = tuple(modules)
    own = {rule.path for module in known for rule in module.rules if rule.args}
    for module in known:
        if module.file not in theirs:
            continue
        for rule in module.rules:
            for node in rule.nodes():
                if node.kind == "call":
                    _check_call(module, rule, node, own, empty=empty)
            for statement in _lines(rule):
                _check_mods(rule, statement)
                if statement.kind == "not":
                    _check_not(rule, statement)


def _check_call(module: Module, rule: Rule, node: Node, own: set[tuple[str, ...]], *, empty: bool) -> None:
    name = name_of(node.parts[0])
    if (*module.package, name) in own and "." not in name:
        return
    if name in VOLATILE:
        raise _fault(
            f"`{name}` answers differently each time, so the decision could not be made again: {VOLATILE[name]}",
            rule,
            node,
        )
    if name in DIFFERENT:
        raise _fault(f"`{name}`: {DIFFERENT[name]} in the engine in process; {REMEDY} right", rule, node)
    if name in DEPRECATED:
        raise _fault(f"`{name}` is gone from Rego v1", rule, node)
    if name not in SIGNATURES and name.startswith(OPA_HAS):
        raise _fault(f"the engine in process has no `{name}`: {REMEDY}", rule, node)
    if name == "glob.match" and len(node.parts) > 1:
        _check_glob(rule, node.parts[1], empty=empty)
    if name == "sprintf" and len(node.parts) > 1:
        _check_format(rule, node.parts[1])
    if name == "print":
        raise _fault("`print` is for tests: drop it", rule, node)


def _check_glob(rule: Rule, pattern: Node, *, empty: bool) -> None:
    """An empty alternative (`{a,}`) matches differently; a pattern that is sent may hold one."""
    if pattern.kind == "text":
        if _EMPTY_ALTERNATIVE.search(str(pattern.value)):
            raise _fault(
                f"an empty alternative in a glob matches differently in the engine in process; {REMEDY} right",
                rule,
                pattern,
            )
    elif not _from_data(pattern, rule):
        raise _fault("the pattern of `glob.match` should be a text here or come straight from `data`", rule, pattern)
    elif empty:
        raise _fault(
            "`data` holds an empty alternative such as {a,}, which globs match differently in the engine in process: "
            f"{REMEDY} right",
            rule,
            pattern,
        )


def _from_data(pattern: Node, rule: Rule) -> bool:
    if pattern.kind == "ref":
        return _is_data(pattern)
    if pattern.kind != "var":
        return False
    sources = [source for statement in _lines(rule) for source in _sources(statement, str(pattern.value))]
    return bool(sources) and all(_is_data(source) for source in sources)


def _is_data(node: Node) -> bool:
    return node.kind == "ref" and node.parts[0].kind == "var" and node.parts[0].value == "data"


def _sources(statement: Statement, name: str) -> Iterator[Node]:
    """Where a variable takes its values from."""
    if statement.kind == "some_in":
        if any(name in pattern_names(pattern) for pattern in statement.parts[:-1]):
            yield statement.parts[-1]
    elif statement.kind == "every":
        if name in statement.names:
            yield statement.parts[0]
    elif statement.kind == "expression" and statement.parts[0].kind in {"assign", "unify"}:
        one, other = statement.parts[0].parts
        if name in pattern_names(one):
            yield other
        elif name in pattern_names(other):
            yield one


def _check_format(rule: Rule, text: Node) -> None:
    """`%v` writes some numbers differently, and a `%` with anything but text or whole numbers has errors of its own."""
    if text.kind != "text":
        raise _fault("the first argument of `sprintf` should be a text written here", rule, text)
    for verb in _VERB.findall(str(text.value)):
        if verb not in _VERBS:
            raise _fault(
                f"`%{verb}` writes some values differently in the engine in process: "
                "use %s for text, %d for whole numbers",
                rule,
                text,
            )


def _check_not(rule: Rule, statement: Statement) -> None:
    kind = statement.parts[0].kind
    if kind in {"unify", "assign"}:
        raise _fault("`not` over `=` may be judged in another order than written: write `==`", rule, statement)
    if kind in {"set", "object"}:
        raise _fault(f"a body after `not` is newer than the engine in process: {REMEDY}", rule, statement)


def _check_mods(rule: Rule, statement: Statement) -> None:
    for target, _ in statement.mods:
        if not name_of(target).startswith(("input", "data")):
            raise _fault("`with` may replace parts of `input` and `data`, not functions", rule, statement)


def _lines(rule: Rule) -> Iterator[Statement]:
    for body in rule.bodies:
        yield from statements(body.query)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _fault(problem: str, rule: Rule, at: Node | Statement) -> ConfigError:
    return ConfigError(problem, file=rule.file, line=at.line, column=at.column)
