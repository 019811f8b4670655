"""Calls and types as far as they are plain: functions that exist, with as many arguments as they take,
and no value where it can never be right.

Not a whole type checker: what is not known is taken for right, and OPA's own judges it where it is at hand.
"""

from collections.abc import Iterable

from gateway.errors import ConfigError
from gateway.policy import shapes
from gateway.policy.builtins import DIFFERENT, SIGNATURES, VOLATILE
from gateway.policy.shapes import ANYTHING, Shape, meet
from gateway.policy.syntax import Module, Node, Rule, Statement, name_of, walk, walk_query

Path = tuple[str, ...]
Known = dict[str, Shape]
REFUSED_ELSEWHERE = frozenset({"print", *VOLATILE, *DIFFERENT})
"""Functions there are, which `differences` judges; tests may call some."""
_SETS_ONLY = frozenset({"Union", "Intersection"})
_COMPREHENSIONS = {"array": "a", "set": "t", "object": "o"}
_PLAIN = {
    "text": Shape("s"),
    "number": Shape("n"),
    **dict.fromkeys(("compare", "membership", "unify", "assign"), Shape("b")),
}


def check(modules: Iterable[Module], theirs: frozenset[str]) -> None:
    """Refuses the first impossible call or comparison of the files in `theirs`."""
    known = tuple(modules)
    types = Types(known)
    for module in known:
        if module.file in theirs:
            for rule in module.rules:
                types.check(module, rule)


class Types:
    """The shapes of all rules, told once each."""

    def __init__(self, modules: tuple[Module, ...]) -> None:
        self._rules: dict[Path, list[tuple[Module, Rule]]] = {}
        for module in modules:
            for rule in module.rules:
                self._rules.setdefault(rule.path, []).append((module, rule))
        self._told: dict[Path, Shape] = {}

    def check(self, module: Module, rule: Rule) -> None:
        """Looks at every line and head of the rule."""
        for body in rule.bodies:
            lines = Lines(self, module, rule)
            known = lines.query(body.query, lines.arguments())
            for node in (*rule.steps, *((rule.key,) if rule.key else ()), *((body.value,) if body.value else ())):
                lines.node(node, known)

    def arity(self, path: Path) -> int | None:
        """How many arguments the function at `path` takes; None where there is none."""
        found = self._rules.get(path)
        return len(found[0][1].args) if found and found[0][1].args else None

    def rule(self, path: Path) -> tuple[Shape, int] | None:
        """The shape of the rule that `path` leads to or into, and how much of the path is its name."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._rules:
                return self._shape(path[:length]), length
        return None

    def _shape(self, path: Path) -> Shape:
        if path not in self._told:
            self._told[path] = ANYTHING
            self._told[path] = shapes.either(self._one(*each) for each in self._rules[path]) or ANYTHING
        return self._told[path]

    def _one(self, module: Module, rule: Rule) -> Shape:
        lines = Lines(self, module, rule, quiet=True)
        values: list[Shape] = []
        for body in rule.bodies:
            known = lines.query(body.query, lines.arguments())
            value = rule.key if rule.kind == "set" else body.value
            values.append(lines.shape(value, known) if value else Shape("b"))
        found = shapes.either(values)
        if rule.kind == "set":
            return Shape("t", found)
        return Shape("o", found) if rule.steps else found or ANYTHING


class Lines:
    """One rule's lines; `quiet` where only its shape is wanted and its faults are told elsewhere."""

    def __init__(self, types: Types, module: Module, rule: Rule, *, quiet: bool = False) -> None:
        self._types, self._module, self._rule, self._quiet = types, module, rule, quiet

    def arguments(self) -> Known:
        known: Known = {}
        for argument in self._rule.args:
            self._bind(argument, ANYTHING, known)
        return known

    def query(self, query: tuple[Statement, ...], outer: Known) -> Known:
        """What is known after the body. Told twice before it is checked, because lines may come in any order."""
        known = dict(outer)
        for statement in query:
            for name in statement.names if statement.kind == "some" else ():
                known.pop(name, None)
        for _ in range(2):
            for statement in query:
                self._learn(statement, known)
        if not self._quiet:
            for statement in query:
                self._check(statement, known)
        return known

    def _learn(self, statement: Statement, known: Known) -> None:
        if statement.kind == "some_in":
            collection = self.shape(statement.parts[-1], known)
            self._bind(statement.parts[-2], collection.element(), known)
            if len(statement.parts) == 3:
                self._bind(statement.parts[0], _key(collection), known)
        elif statement.kind == "expression" and statement.parts[0].kind in {"assign", "unify"}:
            one, other = statement.parts[0].parts
            unify = statement.parts[0].kind == "unify"
            self._bind(one, self.shape(other, known), known, declares=not unify)
            if unify:
                self._bind(other, self.shape(one, known), known, declares=False)

    def _bind(self, pattern: Node, shape: Shape, known: Known, *, declares: bool = True) -> None:
        """What a pattern's variables now are; `=` gives no value to what is a rule or an import."""
        if pattern.kind == "var":
            if not declares and pattern.value not in known and self._is_outside(str(pattern.value)):
                return
            before = known.get(str(pattern.value), ANYTHING)
            if before is ANYTHING or "*" in before.kinds:
                known[str(pattern.value)] = shape
        elif pattern.kind == "array":
            for place, part in enumerate(pattern.parts):
                self._bind(part, shape.at(place) if "a" in shape.kinds else ANYTHING, known, declares=declares)
        elif pattern.kind == "object":
            for key, value in zip(pattern.parts[::2], pattern.parts[1::2], strict=True):
                self._bind(value, shape.at(key.value) if "o" in shape.kinds else ANYTHING, known, declares=declares)

    def _is_outside(self, name: str) -> bool:
        return name in {"input", "data", *self._module.imports} or self._types.rule(self._path(name)) is not None

    def _check(self, statement: Statement, known: Known) -> None:
        for part in (*statement.parts, *(value for _, value in statement.mods)):
            self.node(part, known)
        if statement.kind in {"some_in", "every"}:
            collection = statement.parts[0] if statement.kind == "every" else statement.parts[-1]
            found = self.shape(collection, known)
            if not meet(Shape("aot"), found):
                raise self._fault(f"{found.words()} has nothing inside it", collection)
            inner = {**known, **dict.fromkeys(statement.names, ANYTHING)}
            if statement.kind == "every":
                if statement.names:
                    inner[statement.names[-1]] = found.element()
                if len(statement.names) == 2:
                    inner[statement.names[0]] = _key(found)
                self.query(statement.query, inner)

    def node(self, node: Node, known: Known) -> None:
        """Refuses what can never be right in an expression."""
        if node.kind == "comprehension":
            known = self.query(node.query, known)
        for part in node.parts[1:] if node.kind == "call" else node.parts:
            self.node(part, known)
        if node.kind == "call":
            self._call(node, known)
        elif node.kind in {"unify", "assign"} or (node.kind == "compare" and node.value == "Eq"):
            _check_holds(self._rule, node)
            one, other = (self.shape(part, known) for part in node.parts)
            if not meet(one, other):
                raise self._fault(f"{one.words()} is never equal to {other.words()} like this", node)
        elif node.kind == "membership":
            self._membership(node, known)
        elif node.kind == "arithmetic":
            self._arithmetic(node, known)
        elif node.kind == "ref":
            self._ref(node, known)

    def _arithmetic(self, node: Node, known: Known) -> None:
        allowed = _operands(node)
        for part in node.parts:
            if not meet(allowed, found := self.shape(part, known)):
                raise self._fault(f"this takes {allowed.words()}, not {found.words()}", part)

    def _membership(self, node: Node, known: Known) -> None:
        collection = self.shape(node.parts[-1], known)
        if not meet(Shape("aot"), collection):
            raise self._fault(f"{collection.words()} has nothing inside it", node)
        if not meet(found := self.shape(node.parts[-2], known), collection.element()):
            raise self._fault(f"{found.words()} is never in there", node)

    def _call(self, node: Node, known: Known) -> None:
        name, given = name_of(node.parts[0]), node.parts[1:]
        arity = self._types.arity(self._path(name))
        signature = SIGNATURES.get(name)
        if arity is None and signature is None:
            if name in REFUSED_ELSEWHERE:
                return
            raise self._fault(f"there is no function `{name}`", node)
        wanted = arity if arity is not None else len(signature[0]) if signature else 0
        if wanted != len(given):
            raise self._fault(f"`{name}` takes {wanted} argument{'s' * (wanted != 1)}, not {len(given)}", node)
        if arity is not None or signature is None:
            return
        for place, (kinds, argument) in enumerate(zip(signature[0], given, strict=True), start=1):
            if not meet(allowed := Shape(kinds), found := self.shape(argument, known)):
                raise self._fault(
                    f"argument {place} of `{name}` should be {allowed.words()}, not {found.words()}", argument
                )

    def _ref(self, node: Node, known: Known) -> None:
        shape, steps = self._start(node, known)
        for step in steps:
            if not meet(Shape("aot"), shape):
                raise self._fault(f"{shape.words() or 'what is never there'} has nothing inside it", node)
            if not meet(_key(shape), found := self.shape(step, known)):
                raise self._fault(f"{shape.words()} has no key that is {found.words()}", step)
            shape = self._into(shape, step)
            if not shape.kinds:
                raise self._fault(f"there is no {step.value!r} inside", step)

    def _start(self, node: Node, known: Known) -> tuple[Shape, tuple[Node, ...]]:
        """The shape a ref begins with, and the steps that are left."""
        head, steps = node.parts[0], node.parts[1:]
        if head.kind != "var" or head.value in known:
            return self.shape(head, known), steps
        constant: list[str] = []
        for step in steps:
            if step.kind != "text":
                break
            constant.append(str(step.value))
        base = self._path(str(head.value))
        if head.value == "input" or self._module.imports.get(str(head.value), ("",))[0] == "input":
            return ANYTHING, ()
        found = self._types.rule((*base, *constant))
        if found is None or found[1] < len(base):
            return ANYTHING, ()
        return found[0], steps[found[1] - len(base) :]

    def _into(self, shape: Shape, step: Node) -> Shape:
        if "*" in shape.kinds:
            return ANYTHING
        if shape.kinds == "t":
            return shape.element()
        if step.kind == "text" or (step.kind == "number" and isinstance(step.value, int)):
            return shape.at(step.value)
        return shape.element()

    def _path(self, name: str) -> Path:
        head, *rest = name.split(".")
        if head == "data":
            return tuple(rest)
        if head in self._module.imports:
            return (*self._module.imports[head][1:], *rest)
        return (*self._module.package, *name.split("."))

    def shape(self, node: Node, known: Known) -> Shape:
        """The shape an expression's value has."""
        if plain := _PLAIN.get(node.kind):
            return plain
        if node.kind == "constant":
            return Shape("z" if node.value is None else "b")
        if node.kind in {"array", "set", "object", "comprehension"}:
            return self._collection(node, known)
        if node.kind == "arithmetic":
            return _operands(node)
        if node.kind == "call":
            return self._result(node)
        if node.kind == "var" and (node.value in known or node.value == "_"):
            return known.get(str(node.value), ANYTHING)
        shape, steps = self._start(node if node.kind == "ref" else Node("ref", 0, 0, parts=(node,)), known)
        for step in steps:
            shape = self._into(shape, step)
        return shape

    def _collection(self, node: Node, known: Known) -> Shape:
        if node.kind == "array":
            return shapes.array(self.shape(part, known) for part in node.parts)
        if node.kind == "set":
            return Shape("t", shapes.either(self.shape(part, known) for part in node.parts))
        if node.kind == "object":
            pairs = zip(node.parts[::2], node.parts[1::2], strict=True)
            return shapes.object_((str(k.value) if k.kind == "text" else None, self.shape(v, known)) for k, v in pairs)
        if any(each.kind == "comprehension" for each in walk_query(node.query)):
            return Shape(_COMPREHENSIONS[str(node.value)])
        quiet = Lines(self._types, self._module, self._rule, quiet=True)
        inner = quiet.query(node.query, known)
        return Shape(_COMPREHENSIONS[str(node.value)], self.shape(node.parts[-1], inner))

    def _result(self, node: Node) -> Shape:
        name = name_of(node.parts[0])
        if self._types.arity(self._path(name)) is not None:
            found = self._types.rule(self._path(name))
            return found[0] if found else ANYTHING
        return Shape(SIGNATURES[name][1] or "b") if name in SIGNATURES else ANYTHING

    def _fault(self, problem: str, at: Node) -> ConfigError:
        return ConfigError(problem, file=self._rule.file, line=at.line, column=at.column)


def _check_holds(rule: Rule, node: Node) -> None:
    """Nothing is equal to what holds it."""
    for one, other in (node.parts, node.parts[::-1]):
        held = {part.value for part in walk(other) if part.kind == "var"}
        if one.kind == "var" and one.value in held - {"_"} and other.kind in {"array", "object", "set"}:
            problem = f"`{one.value}` is never equal to what holds it"
            raise ConfigError(problem, file=rule.file, line=node.line, column=node.column)


def _operands(node: Node) -> Shape:
    return Shape("t" if node.value in _SETS_ONLY else "nt" if node.value == "Sub" else "n")


def _key(shape: Shape) -> Shape:
    """The keys of a collection."""
    if shape.kinds == "a":
        return Shape("n")
    return shape.element() if shape.kinds == "t" else ANYTHING
