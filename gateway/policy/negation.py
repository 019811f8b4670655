"""Negated operations over what may be missing: the two engines take them differently, so no policy may hold one.

`not startswith(input.args.path, "x")` with no `path`: regorus says it holds; OPA computes the argument first, finds
none and skips the whole rule. A `deny` then denies in one engine only, an `allow` allows in the other, and the caller
decides whether the argument is there. A condition with a name of its own (`not under_x`) means the same in both.
"""

from collections.abc import Iterable, Iterator

from gateway.errors import ConfigError
from gateway.policy.syntax import Module, Node, name_of, statements

OPERATIONS = frozenset({"call", "arithmetic", "compare", "membership"})
ALWAYS = frozenset(
    {
        "v",
        "point",
        "call",
        "principal",
        "upstream",
        "tool",
        "session",
        "task",
        "checks",
        "args",
        "typed",
        "state",
        "budget",
    }
)
"""The parts of the input that every document of `call` and `result` has (policies/schemas/input.json)."""
OPEN = frozenset({"args", "typed", "state", "budget"})
"""Those of them whose own keys are the caller's, the manifest's or the operator's."""


def check(modules: Iterable[Module], theirs: frozenset[str]) -> None:
    """Refuses the first such line of the files in `theirs`.

    Raises:
        ConfigError: with its place and the form that means one thing.
    """
    for module in modules:
        if module.file not in theirs:
            continue
        for rule in module.rules:
            for body in rule.bodies:
                for statement in statements(body.query):
                    missing = next(_doubtful(statement.parts[0]), None) if statement.kind == "not" else None
                    if missing is not None:
                        raise ConfigError(
                            f"`not` over an operation on {name_of(missing) or 'a value'}, which may be missing, holds "
                            "in one engine and not in the other: give the condition a rule of its own and write "
                            "`not RULE`",
                            file=module.file,
                            line=statement.line,
                            column=statement.column,
                        )


def _doubtful(negated: Node) -> Iterator[Node]:
    """The refs in a negated expression that are computed before it and may have no value."""
    if negated.kind == "compare" and negated.value == "Eq":
        for side in negated.parts:
            yield from _doubtful(side)
    elif negated.kind in OPERATIONS:
        for operand in negated.parts[1:] if negated.kind == "call" else negated.parts:
            yield from _missing(operand)
    elif negated.kind == "ref":
        for step in negated.parts[1:]:
            yield from _missing(step)


def _missing(node: Node) -> Iterator[Node]:
    if node.kind == "comprehension":  # it has a value whatever is in it
        return
    if node.kind == "ref" and not _always(node):
        yield node
    for part in node.parts:
        yield from _missing(part)


def _always(ref: Node) -> bool:
    """Whether a ref of the input or of data has a value whoever asks; of any other this cannot be told here."""
    head, steps = ref.parts[0], ref.parts[1:]
    if head.kind != "var" or head.value not in {"input", "data"}:
        return True
    if head.value == "data" or steps[0].kind != "text" or steps[0].value not in ALWAYS:
        return False
    return len(steps) == 1 or (steps[0].value not in OPEN and all(step.kind == "text" for step in steps))
