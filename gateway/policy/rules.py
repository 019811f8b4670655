"""How rules stand to each other: one kind per name, no name inside another, no rule that needs itself.

A function that calls itself is more than an error: it takes the whole process down in regorus.
"""

from collections.abc import Iterable
from typing import NoReturn

from gateway.errors import ConfigError
from gateway.policy import types
from gateway.policy.scopes import Names
from gateway.policy.syntax import Module, Rule

Path = tuple[str, ...]
_SORTS = {"set": "a set", "value": "a value", "function": "a function"}


def check(modules: tuple[Module, ...], theirs: frozenset[str]) -> None:
    """Refuses the first fault of the files in `theirs`."""
    mine = [module for module in modules if module.file in theirs]
    names = {id(rule): Names(module, rule) for module in modules for rule in module.rules}
    for module in mine:
        _check_imports(module, names)
        for rule in module.rules:
            _check_head(rule)
    _check_kinds(modules)
    _check_places(modules)
    _check_recursion(modules, names)
    types.check(modules, theirs)


def _check_imports(module: Module, names: dict[int, Names]) -> None:
    used = {alias for rule in module.rules for alias in names[id(rule)].imports}
    for alias in module.repeated:
        _refuse(module.file, module.lines[alias], f"two imports are called `{alias}`: give one another name with `as`")
    for alias in module.imports:
        if alias in {"input", "data"}:
            _refuse(module.file, module.lines[alias], f"an import may not be called `{alias}`")
        if alias not in used:
            _refuse(module.file, module.lines[alias], f"import `{alias}` is never used: drop it")
    own = {rule.head[0]: rule for rule in module.rules}
    for alias in module.imports.keys() & own.keys():
        _refuse(module.file, own[alias].line, f"`{alias}` is a rule and an import: rename one")


def _check_head(rule: Rule) -> None:
    name = rule.head[0]
    if name in {"input", "data"}:
        _refuse_rule(rule, f"a rule may not be called `{name}`")
    deep = len(rule.head) + len(rule.steps) > (2 if rule.kind == "value" else 1)
    if deep or len(rule.head) > 1:
        _refuse_rule(
            rule,
            f"the deep name of `{name}` is read differently by the engine in process: "
            "write `NAME[KEY] := VALUE`, or give it a package of its own",
        )
    if rule.kind == "default" and any(
        node.kind in {"var", "ref", "call"} for node in rule.nodes() if node not in rule.args
    ):
        _refuse_rule(rule, f"the default of `{name}` should be a constant")


def _check_kinds(modules: Iterable[Module]) -> None:
    first: dict[Path, Rule] = {}
    arity: dict[Path, int] = {}
    defaults: set[Path] = set()
    for module in modules:
        for rule in module.rules:
            path = rule.path
            if rule.kind == "default":
                if path in defaults:
                    _refuse_rule(rule, f"`{path[-1]}` has two defaults")
                defaults.add(path)
            sort = _sort(rule)
            before = first.setdefault(path, rule)
            if _sort(before) != sort:
                _refuse_rule(
                    rule,
                    f"`{path[-1]}` is {_SORTS[_sort(before)]} in {before.file}:{before.line} and {_SORTS[sort]} here",
                )
            if sort == "function" and arity.setdefault(path, len(rule.args)) != len(rule.args):
                _refuse_rule(rule, f"`{path[-1]}` takes {arity[path]} arguments elsewhere and {len(rule.args)} here")
            if bool(before.steps) != bool(rule.steps):
                _refuse_rule(rule, f"`{path[-1]}` is given whole and by key: choose one")


def _sort(rule: Rule) -> str:
    return rule.kind if rule.kind != "default" else "function" if rule.args else "value"


def _check_places(modules: Iterable[Module]) -> None:
    packages = {module.package[:length] for module in modules for length in range(1, len(module.package) + 1)}
    for module in modules:
        for rule in module.rules:
            if rule.path in packages:
                _refuse_rule(rule, f"`{rule.path[-1]}` is also the name of package {'.'.join(rule.path)}: rename one")


def _check_recursion(modules: Iterable[Module], names: dict[int, Names]) -> None:
    by_path: dict[Path, list[Rule]] = {}
    for module in modules:
        for rule in module.rules:
            by_path.setdefault(rule.path, []).append(rule)
    edges: dict[Path, set[Path]] = {}
    for path, rules in by_path.items():
        wanted = {below for rule in rules for root, below in names[id(rule)].references if root == "data"}
        edges[path] = {other for each in wanted for other in by_path if _overlap(other, each)}
    done: set[Path] = set()
    for path in by_path:
        _visit(path, edges, by_path, done)


def _visit(start: Path, edges: dict[Path, set[Path]], by_path: dict[Path, list[Rule]], done: set[Path]) -> None:
    """Depth first without recursion, because a bundle may hold thousands of rules in one chain."""
    trail: list[Path] = []
    stack: list[tuple[Path, bool]] = [(start, True)]
    while stack:
        path, entering = stack.pop()
        if not entering:
            trail.pop()
            done.add(path)
            continue
        if path in trail:
            chain = " -> ".join(each[-1] for each in [*trail[trail.index(path) :], path])
            _refuse_rule(by_path[path][0], f"a rule may not need itself: {chain}")
        if path in done:
            continue
        trail.append(path)
        stack.append((path, False))
        stack.extend((each, True) for each in sorted(edges[path]))


def _overlap(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _refuse_rule(rule: Rule, problem: str) -> NoReturn:
    raise ConfigError(problem, file=rule.file, line=rule.line, column=rule.column)


def _refuse(file: str, line: int, problem: str) -> NoReturn:
    raise ConfigError(problem, file=file, line=line)
