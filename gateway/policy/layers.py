"""The layers of policy: the organisation's packages `bascule.<point>` and the teams' `bascule.<point>.<team>`.

What a team's package says is joined to the organisation's sets by a file written here, so that the same
answer comes from every engine. A team's `allow` counts only for the upstreams that
`data.teams.<team>.upstreams` lists; its other sets can only tighten and count everywhere.
"""

import difflib
import re
from collections.abc import Iterable

from gateway.errors import ConfigError
from gateway.model import Point
from gateway.policy.syntax import Module, Rule

SETS = {
    Point.LIST: ("hide",),
    Point.CALL: ("deny", "require_approval", "allow", "obligations"),
    Point.EXECUTE: ("deny",),
    Point.RESULT: ("deny", "require_approval", "allow", "obligations"),
    Point.APPROVE: ("deny", "allow"),
}
"""What a file may add to at each point."""
ROOT = "bascule"
ENTRY = "decision"


def team_of(module: Module) -> tuple[Point, str] | None:
    """The point and team whose package this is."""
    if len(module.package) == 3 and module.package[0] == ROOT:
        return Point(module.package[1]), module.package[2]
    return None


def check(modules: Iterable[Module]) -> None:
    """Refuses packages and rules that no entry folds as their author means them to be folded."""
    for module in modules:
        if module.package[0] != ROOT:
            continue
        _check_package(module)
        for rule in module.rules:
            _check_rule(rule, Point(module.package[1]))


def joined(point: Point, modules: Iterable[Module]) -> str:
    """The file that joins what the teams say at `point` to the organisation's sets; empty without teams."""
    said: dict[str, set[str]] = {}
    for module in modules:
        if (place := team_of(module)) and place[0] is point:
            names = {rule.head[0] for rule in module.rules if rule.kind == "set"}
            said.setdefault(place[1], set()).update(names & set(SETS[point]))
    rules = [_joining(point, team, name) for team in sorted(said) for name in SETS[point] if name in said[team]]
    if not rules:
        return ""
    return "\n\n".join([f"# Written by Bascule: joins the teams' rules.\npackage {ROOT}.{point}", *rules]) + "\n"


_TEAM = re.compile(r"[a-z][a-z0-9_]*")
_PACKAGE = re.compile(r"^\s*package\s+([A-Za-z0-9_.]+)", re.MULTILINE)
_ENTRY = re.compile(rf"^(default\s+)?{ENTRY}\b", re.MULTILINE)


def guessed(file: str, text: str) -> Module:
    """As much of a file as can be told without parsing it: for syntax that only a newer OPA reads."""
    found = _PACKAGE.search(text)
    package = tuple(found[1].split(".")) if found else ("",)
    names = sorted({each for sets in SETS.values() for each in sets})
    rules = [Rule("set", file, 1, 1, package, (name,)) for name in names]
    if package[0] == ROOT and len(package) > 1 and package[1] in set(Point):
        rules = [rule for rule in rules if rule.head[0] in SETS[Point(package[1])]]
    if entry := _ENTRY.search(text):
        rules.append(Rule("value", file, text.count("\n", 0, entry.start()) + 1, 1, package, (ENTRY,)))
    return Module(file, package, {}, {}, (), tuple(rules))


def _joining(point: Point, team: str, name: str) -> str:
    lines = [f"some member in data.{ROOT}.{point}.{team}.{name}"]
    if name == "allow":
        lines.insert(0, f"input.upstream in data.teams.{team}.upstreams")
    body = "\n".join(f"\t{line}" for line in lines)
    return f"{name} contains member if {{\n{body}\n}}"


def _check_package(module: Module) -> None:
    package = module.package
    points = [str(point) for point in Point]
    line = module.rules[0].line if module.rules else 1
    if len(package) == 1 or package[1] not in points:
        wrong = package[1] if len(package) > 1 else ""
        near = difflib.get_close_matches(wrong, points, 1)
        known = ", ".join(f"{ROOT}.{each}" for each in points)
        meant = f"did you mean {ROOT}.{near[0]}?" if near else f"there are {known}"
        raise ConfigError(f"package {'.'.join(package)} is no decision point; {meant}", file=module.file, line=line)
    taken = {*SETS[Point(package[1])], ENTRY}
    if len(package) > 3 or (len(package) == 3 and (package[2] in taken or not _TEAM.fullmatch(package[2]))):
        raise ConfigError(
            f"package {'.'.join(package)} is no team's: write {ROOT}.{package[1]}.TEAM (a-z, 0-9, _)",
            file=module.file,
            line=line,
        )


def _check_rule(rule: Rule, point: Point) -> None:
    name = rule.head[0]
    if name == ENTRY and len(rule.package) == 2:
        raise _fault(rule, f"`{ENTRY}` of {ROOT}.{point} is the gateway's own: add to {', '.join(SETS[point])} instead")
    known = {each for sets in SETS.values() for each in sets}
    if name not in known:
        return
    if name not in SETS[point]:
        raise _fault(rule, f"`{name}` has no meaning at `{point}`: it takes {', '.join(SETS[point])}")
    if rule.kind != "set":
        raise _fault(rule, f"`{name}` is a set of reasons: {_right_form(rule, name)}")


def _fault(rule: Rule, problem: str) -> ConfigError:
    return ConfigError(problem, file=rule.file, line=rule.line, column=rule.column)


def _right_form(rule: Rule, name: str) -> str:
    example = {"obligations": '{"type": "timeout", "seconds": 10}', "hide": "tool.name"}.get(name, '"why"')
    if rule.kind == "default":
        return f"drop this line (nothing said already means the default) and write `{name} contains {example} if …`"
    return f"write `{name} contains {example} if …`"
