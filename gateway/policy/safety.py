"""The safety check: every variable has a value before it is asked about.

regorus accepts what OPA's compiler refuses, above all `not input.roles[_] == "admin"`, which then fails open.
So this runs at load, stricter than OPA on purpose: under `not` only what a line above it has bound.
"""

from collections.abc import Iterable, Iterator
from typing import NoReturn

from gateway.errors import ConfigError
from gateway.policy import rules
from gateway.policy.scopes import pattern_names
from gateway.policy.syntax import Module, Node, Rule, Statement, name_of, walk, walk_query

Names = frozenset[str]
NONE: Names = frozenset()


def check(modules: Iterable[Module], theirs: Names) -> None:
    """Refuses the first unsafe rule of the files in `theirs`; the shipped ones are tested with OPA itself."""
    known = tuple(modules)
    rules.check(known, theirs)
    of_package: dict[tuple[str, ...], set[str]] = {}
    for module in known:
        of_package.setdefault(module.package, set()).update(rule.head[0] for rule in module.rules)
    for module in known:
        if module.file in theirs:
            outside = frozenset({"input", "data", *module.imports, *of_package[module.package]})
            for rule in module.rules:
                _Rule(rule, outside).check()


class _Rule:
    """One rule's check. `outside` are the names that have a value without any line of the rule."""

    def __init__(self, rule: Rule, outside: Names) -> None:
        self._rule = rule
        self._outside = outside
        self._arguments: Names = NONE

    def check(self) -> None:
        rule = self._rule
        arguments = self._arguments = frozenset(name for argument in rule.args for name in pattern_names(argument)) - {
            "_"
        }
        for body in rule.bodies:
            bound = self._query(body.query, arguments, self._outside - arguments)
            outside = self._outside - bound - arguments
            heads = [*rule.steps, *((rule.key,) if rule.key else ()), *((body.value,) if body.value else ())]
            for node in heads:
                self._closures([node], bound, outside, bound)
                for used in self._used(node, outside):
                    if used.value not in bound:
                        self._unsafe(used)

    def _query(self, query: tuple[Statement, ...], inherited: Names, outside: Names) -> Names:
        """The names with a value after the body; a line that waits for a later one is tried again after it."""
        own = frozenset(_declared(query))
        outside -= own
        bound = inherited - own
        around = bound | own | frozenset(self._open(query, outside))
        waiting: list[Statement] = []
        for statement in query:
            after = self._statement(statement, bound, outside, around)
            if after is None:
                if statement.kind == "not":
                    self._unsafe_not(statement, bound, outside)
                if statement.kind == "every":
                    self._unsafe_line(statement, bound, outside)
                waiting.append(statement)
                continue
            bound = after
            bound, waiting = self._again(waiting, bound, outside, around)
        if waiting:
            self._unsafe_line(waiting[0], bound, outside)
        return bound

    def _again(
        self, waiting: list[Statement], bound: Names, outside: Names, around: Names
    ) -> tuple[Names, list[Statement]]:
        moved = True
        while moved:
            moved = False
            for statement in waiting:
                after = self._statement(statement, bound, outside, around)
                if after is not None:
                    bound, moved = after, True
                    waiting = [each for each in waiting if each is not statement]
        return bound, waiting

    def _statement(self, statement: Statement, bound: Names, outside: Names, around: Names) -> Names | None:
        """The names with a value after this line, or None while it has to wait."""
        if statement.kind == "some":
            return bound
        if any(node.value not in bound for _, value in statement.mods for node in self._used(value, outside)):
            return None
        if statement.kind in {"some_in", "every"}:
            after = self._iteration(statement, bound, outside)
        elif statement.kind == "not":
            used = self._used(statement.parts[0], outside)
            after = bound if all(node.value in bound for node in used) else None
        else:
            self._check_shared(statement.parts[0], outside)
            after = self._expression(statement.parts[0], bound, outside)
        if after is None:
            return None
        parts = [*statement.parts, *(value for _, value in statement.mods)]
        if not self._closures(parts, bound, outside, around):
            return None
        if statement.kind == "every":
            names = frozenset(statement.names) - {"_"}
            if not self._closed(statement.query, names, after, around, outside):
                return None
            self._query(statement.query, after | names, outside - names)
        return after

    def _iteration(self, statement: Statement, bound: Names, outside: Names) -> Names | None:
        collection = statement.parts[0] if statement.kind == "every" else statement.parts[-1]
        after = self._positive(collection, bound, outside)
        if after is None or statement.kind == "every":
            return after
        names = frozenset(name for pattern in statement.parts[:-1] for name in pattern_names(pattern))
        for pattern in statement.parts[:-1]:
            if any(node.value not in after | names for node in self._used(pattern, outside)):
                return None
        return after | (names - {"_"})

    def _expression(self, node: Node, bound: Names, outside: Names) -> Names | None:
        if node.kind == "assign":
            if _opaque(node.parts[1], node.parts[0]):
                return None
            after = self._positive(node.parts[1], bound, outside)
            return None if after is None else after | (frozenset(pattern_names(node.parts[0])) - {"_"})
        if node.kind == "unify":
            return self._unify(node.parts[0], node.parts[1], bound, outside)
        return self._positive(node, bound, outside)

    def _unify(self, one: Node, other: Node, bound: Names, outside: Names) -> Names | None:
        if one.kind == other.kind == "array" and len(one.parts) == len(other.parts):
            for left, right in zip(one.parts, other.parts, strict=True):
                after = self._unify(left, right, bound, outside)
                if after is None:
                    return None
                bound = after
            return bound
        for known, pattern in ((one, other), (other, one)):
            if _opaque(known, pattern):
                continue
            after = self._positive(known, bound, outside)
            if after is not None:
                names = frozenset(pattern_names(pattern)) - outside
                rest = self._positive(pattern, after | names, outside)
                if rest is not None:
                    return rest - {"_"}
        return None

    def _positive(self, node: Node, bound: Names, outside: Names) -> Names | None:
        """The names with a value once this holds: an open step of a ref whose head is known takes every key.

        An operation inside this one is done first, so that it may open names for this one but not the other way.
        """
        inner = list(_inner_operations(node))
        while inner:
            after = [(each, self._positive(each, bound, outside)) for each in inner]
            inner = [each for each, names in after if names is None]
            if len(inner) == len(after):
                return None
            bound = bound.union(*(names for _, names in after if names is not None))
        while True:
            opened = set[str]()
            for each in (ref for ref in _open_nodes(node) if ref.kind == "ref"):
                head = each.parts[0]
                if head.kind != "var" or head.value in bound | outside:
                    opened |= (
                        {str(step.value) for step in each.parts[1:] if step.kind == "var"} - outside - bound - {"_"}
                    )
            if not opened:
                break
            bound |= opened
        wild = {
            id(step) for each in _open_nodes(node) if each.kind == "ref" for step in each.parts[1:] if step.value == "_"
        }
        used = self._used(node, outside)
        return bound if all(each.value in bound or id(each) in wild for each in used) else None

    def _closures(self, nodes: Iterable[Node], bound: Names, outside: Names, around: Names) -> bool:
        """Checks the comprehensions in these expressions; False while one needs a name that has no value yet."""
        for node in nodes:
            for each in _open_nodes(node):
                if each.kind != "comprehension":
                    continue
                if not self._closed(each.query, NONE, bound, around, outside):
                    return False
                inside = self._query(each.query, bound, outside)
                hidden = outside - frozenset(_declared(each.query))
                if not self._closures(each.parts, inside, hidden, inside):
                    self._unsafe(each)
                self._check_heads(each, inside, bound, hidden)
        return True

    def _check_heads(self, node: Node, inside: Names, bound: Names, outside: Names) -> None:
        """What a comprehension gives. OPA tells the type of a key or an argument wrong that its body does not bind."""
        unbound = bound - frozenset(_declared(node.query))
        for place, part in enumerate(node.parts):
            is_key = node.value == "object" and place == 0
            given = (
                inside - unbound if is_key else inside - (self._arguments & unbound) if part.kind == "var" else inside
            )
            for used in self._used(part, outside):
                if used.value not in given:
                    self._unsafe(used)

    def _check_shared(self, node: Node, outside: Names) -> None:
        """OPA finds no order for `input.a[x] == {… x …}`, wherever x comes from."""
        near = list(_near(node))
        steps = {
            step.value: step for each in near if each.kind == "ref" for step in each.parts[1:] if step.kind == "var"
        }
        for each in near:
            if each.kind == "comprehension":
                inside = (
                    {str(part.value) for part in walk(each) if part.kind == "var"} - set(_declared(each.query)) - {"_"}
                )
                for name in steps.keys() & (inside - outside):
                    self._unsafe(steps[name])

    def _closed(self, query: tuple[Statement, ...], own: Names, bound: Names, around: Names, outside: Names) -> bool:
        """Whether every name the inner body shares with the body around it has its value already."""
        inner = own | frozenset(_declared(query))
        shared = frozenset(self._all(query)) - inner - outside - {"_"}
        return not (shared & around) - bound

    def _all(self, query: Iterable[Statement]) -> Iterator[str]:
        for statement in query:
            for part in (*statement.parts, *(value for _, value in statement.mods)):
                yield from (str(node.value) for node in walk(part) if node.kind == "var")
            yield from self._all(statement.query)

    def _open(self, query: Iterable[Statement], outside: Names) -> Iterator[str]:
        for statement in query:
            for part in statement.parts:
                yield from (str(node.value) for node in self._used(part, outside))

    def _needed(self, statement: Statement, outside: Names) -> list[Node]:
        nodes = [*statement.parts, *(value for _, value in statement.mods)]
        return [used for node in nodes for used in self._used(node, outside)]

    def _used(self, node: Node, outside: Names) -> list[Node]:
        """The variables an expression asks about, names of functions and insides of comprehensions apart."""
        functions = {id(part) for each in _open_nodes(node) if each.kind == "call" for part in walk(each.parts[0])}
        return [
            each
            for each in _open_nodes(node)
            if each.kind == "var" and each.value not in outside and id(each) not in functions
        ]

    def _unsafe_not(self, statement: Statement, bound: Names, outside: Names) -> NoReturn:
        missing = [node for node in self._needed(statement, outside) if node.value not in bound]
        name = str(missing[0].value) if missing else "_"
        what = "a wildcard" if name == "_" else f"`{name}`, which no line above has bound,"
        raise ConfigError(
            f"{what} under `not` asks whether any is otherwise, not whether none is: {_remedy(statement)}",
            file=self._rule.file,
            line=statement.line,
            column=statement.column,
        )

    def _unsafe_line(self, statement: Statement, bound: Names, outside: Names) -> NoReturn:
        inner = outside | frozenset(statement.names) | frozenset(_declared((statement, *statement.query)))
        nodes = [node for node in walk_query(statement.query) if node.kind == "var" and node.value not in inner]
        missing = [node for node in (*self._needed(statement, inner), *nodes) if node.value not in bound]
        self._unsafe(missing[0] if missing else statement)

    def _unsafe(self, at: Node | Statement) -> NoReturn:
        name = at.value if isinstance(at, Node) and at.kind == "var" else None
        problem = f"`{name}` has no value here" if name else "something here never gets a value"
        if name == "_":
            problem = "`_` stands for a value here, but has none"
        raise ConfigError(problem, file=self._rule.file, line=at.line, column=at.column)


def _opaque(known: Node, pattern: Node) -> bool:
    """OPA takes no comprehension apart by keys: the names in such a pattern get no value from one."""
    return known.kind == "comprehension" and pattern.kind == "object"


def _declared(query: Iterable[Statement]) -> Iterator[str]:
    for statement in query:
        yield from statement.names if statement.kind == "some" else ()
        if statement.kind == "some_in":
            for pattern in statement.parts[:-1]:
                yield from pattern_names(pattern)
        if statement.kind == "expression" and statement.parts[0].kind == "assign":
            yield from pattern_names(statement.parts[0].parts[0])


def _open_nodes(node: Node) -> Iterator[Node]:
    """The expression and its parts, but not what is inside a comprehension."""
    yield node
    if node.kind != "comprehension":
        for part in node.parts:
            yield from _open_nodes(part)


def _inner_operations(node: Node) -> Iterator[Node]:
    """The nearest operations inside an expression."""
    if node.kind == "comprehension":
        return
    for part in node.parts:
        if part.kind in {"call", "arithmetic", "compare", "membership"}:
            yield part
        else:
            yield from _inner_operations(part)


def _near(node: Node) -> Iterator[Node]:
    """The expression and its parts, but not what is inside operations in it."""
    yield node
    if node.kind != "comprehension":
        for part in node.parts:
            if part.kind not in {"call", "arithmetic", "compare", "membership"}:
                yield from _near(part)


def _remedy(statement: Statement) -> str:
    """The right form, as near to what was written as can be told."""
    node = statement.parts[0]
    if node.kind == "compare" and node.value == "Eq":
        for one, other in (node.parts, node.parts[::-1]):
            if one.kind == "ref" and other.kind == "text" and one.parts[-1].kind == "var":
                collection = name_of(Node("ref", 0, 0, parts=one.parts[:-1]))
                if collection:
                    return f'write `not "{other.value}" in {collection}`'
    return "write `not VALUE in COLLECTION`, or give the condition a rule of its own and write `not RULE`"
