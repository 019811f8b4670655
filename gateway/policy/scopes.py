"""Which variable is which: what each body declares, whether it is used, and what a rule refers to outside itself.

Refuses what OPA's compiler refuses by name alone: a variable declared twice, used before its declaration or
never, and locals called `input` or `data`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.errors import ConfigError
from gateway.policy.syntax import Body, Module, Node, Rule, Statement, walk

Path = tuple[str, ...]


@dataclass(slots=True)
class Scope:
    """The variables one body declares, inside those of the body around it."""

    outer: "Scope | None" = None
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    """Names used here before anything of that name was declared."""

    def finds(self, name: str) -> "Scope | None":
        """The scope that declares it, this one or one around it."""
        scope: Scope | None = self
        while scope and name not in scope.places:
            scope = scope.outer
        return scope


class Names:
    """One rule's walk; `references` is what it names in `input` and `data`, as the root and the path below."""

    def __init__(self, module: Module, rule: Rule) -> None:
        self.rule = rule
        self.references: set[tuple[str, Path]] = set()
        self.imports: set[str] = set()
        """The imports it uses."""
        self._module = module
        arguments = Scope()
        for argument in rule.args:
            for name in pattern_names(argument):
                self._declare(arguments, name, argument)
        for body in rule.bodies:
            self._body(body, arguments)
        self._all_used(arguments, "argument")

    def _body(self, body: Body, arguments: Scope) -> None:
        scope = Scope(arguments)
        self._query(body.query, scope)
        for node in (*self.rule.steps, *((self.rule.key,) if self.rule.key else ())):
            self._node(node, scope)
        if body.value:
            self._node(body.value, scope)
        self._all_used(scope, "variable")

    def _query(self, query: Iterable[Statement], scope: Scope) -> None:
        for statement in query:
            for target, value in statement.mods:
                self._node(target, scope)
                self._node(value, scope)
            self._statement(statement, scope)

    def _statement(self, statement: Statement, scope: Scope) -> None:
        if statement.kind == "some":
            for name in statement.names:
                self._declare(scope, name, statement)
        elif statement.kind == "some_in":
            self._node(statement.parts[-1], scope)
            for pattern in statement.parts[:-1]:
                self._pattern(pattern, scope)
        elif statement.kind == "every":
            self._node(statement.parts[0], scope)
            inner = Scope(scope)
            for name in statement.names:
                self._declare(inner, name, statement)
            self._query(statement.query, inner)
            self._all_used(inner, "variable")
        else:
            self._node(statement.parts[0], scope)

    def _pattern(self, pattern: Node, scope: Scope) -> None:
        names = set(pattern_names(pattern))
        for node in walk(pattern):
            if node.kind == "var" and node.value not in names:
                self._use(str(node.value), (), scope)
        for name in pattern_names(pattern):
            self._declare(scope, name, pattern)

    def _node(self, node: Node, scope: Scope) -> None:
        if node.kind == "assign":
            self._node(node.parts[1], scope)
            self._pattern(node.parts[0], scope)
        elif node.kind == "comprehension":
            inner = Scope(scope)
            self._query(node.query, inner)
            for part in node.parts:
                self._node(part, inner)
            self._all_used(inner, "variable")
        elif node.kind == "ref" and node.parts[0].kind == "var":
            self._use(str(node.parts[0].value), tuple(constant(node.parts[1:])), scope)
            for step in node.parts[1:]:
                self._node(step, scope)
        elif node.kind == "var":
            self._use(str(node.value), (), scope)
        else:
            for part in node.parts:
                self._node(part, scope)

    def _use(self, name: str, path: Path, scope: Scope) -> None:
        if found := scope.finds(name):
            found.used.add(name)
            return
        scope.seen.add(name)
        if name in {"input", "data"}:
            self.references.add((name, path))
        elif name in self._module.imports:
            self.imports.add(name)
            root, *below = self._module.imports[name]
            self.references.add((root, (*below, *path)))
        else:
            self.references.add(("data", (*self._module.package, name, *path)))

    def _declare(self, scope: Scope, name: str, at: Node | Statement) -> None:
        if name == "_":
            return
        if name in {"input", "data"}:
            raise self._fault(f"`{name}` is the document of that name: call the variable otherwise", at)
        arguments = scope.outer if scope.outer and scope.outer.outer is None else None
        if name in scope.places or (arguments and name in arguments.places):
            raise self._fault(f"`{name}` is declared twice", at)
        if name in scope.seen:
            raise self._fault(f"`{name}` is used before it is declared", at)
        scope.places[name] = (at.line, at.column)

    def _all_used(self, scope: Scope, what: str) -> None:
        for name, (line, column) in scope.places.items():
            if name not in scope.used:
                raise ConfigError(
                    f"{what} `{name}` is never used: write `_`, or drop it",
                    file=self.rule.file,
                    line=line,
                    column=column,
                )

    def _fault(self, problem: str, at: Node | Statement) -> ConfigError:
        return ConfigError(problem, file=self.rule.file, line=at.line, column=at.column)


def pattern_names(pattern: Node) -> Iterator[str]:
    """The variables a pattern gives values to: itself, those in its arrays and in the values of its objects."""
    if pattern.kind == "var":
        yield str(pattern.value)
    elif pattern.kind == "array":
        for part in pattern.parts:
            yield from pattern_names(part)
    elif pattern.kind == "object":
        for part in pattern.parts[1::2]:
            yield from pattern_names(part)


def constant(steps: Iterable[Node]) -> Iterator[str]:
    """The steps of a ref as far as they are known without evaluating anything."""
    for step in steps:
        if step.kind != "text":
            return
        yield str(step.value)
