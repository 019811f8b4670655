"""What is wrong with a folder of policies, and what is likely to be: `bascule policy check`.

Whatever a gateway would refuse to load is an error here too; beyond that it finds what loads and means nothing.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from gateway.errors import ConfigError
from gateway.kinds import Kind
from gateway.model import Point
from gateway.policy import bundle, folder, judges, layers, loops, reads
from gateway.policy.fields import Fields, Schema
from gateway.policy.findings import Finding, Severity, meant
from gateway.policy.reach import Reach, overlaps
from gateway.policy.syntax import Body, Module, Rule

__all__ = ["Finding", "check"]

CONDITIONS = ("principal", "upstream", *Kind)
"""The parts of the input of which an `allow` should ask one."""


async def check(place: Path, run: judges.Run) -> list[Finding]:
    """Every finding, by file and line; what OPA and Regal say where they are installed comes after ours."""
    own = _own(place)
    told = {_line(finding) for finding in own if finding.severity == "error"}
    others = await judges.ask(place, run)
    return [*own, *(each for each in others if not each.line or _line(each) not in told)]


def _line(finding: Finding) -> tuple[str, int]:
    return os.path.realpath(finding.file), finding.line


def _own(place: Path) -> list[Finding]:
    try:
        loaded = folder.load(place)
    except ConfigError as error:
        return [_refused(error, error.file or str(place))]
    try:
        _, modules = folder.with_tests(loaded)
    except ConfigError as error:
        return [_refused(error, folder.shown(error.file, place) if error.file else str(place))]
    entries = {path for path in loaded.files if not path.startswith(bundle.USER)}
    policies = tuple(module for module in modules if module.file not in loaded.tests)
    reach = Reach(policies)
    found = [
        *_fields(modules, frozenset(entries), frozenset(loaded.tests)),
        *_unreached(policies, entries, reach),
        *_unconditional(policies, entries, reach),
        *_slow(policies, entries),
    ]
    placed = [replace(finding, file=folder.shown(finding.file, place)) for finding in found]
    return sorted(placed, key=lambda finding: (finding.file, finding.line, finding.column))


def _refused(error: ConfigError, file: str) -> Finding:
    return Finding(file, error.line, error.column, "error", error.problem)


def _fields(modules: Iterable[Module], entries: frozenset[str], tests: frozenset[str]) -> Iterator[Finding]:
    schema = Schema(orjson.loads((bundle.shipped() / folder.INPUT_SCHEMA).read_bytes()))
    for module in modules:
        if module.file in entries:
            continue
        # A test may ask on purpose about what never comes.
        severity: Severity = "warning" if module.file in tests else "error"
        for rule in module.rules:
            for remark in Fields(schema, module, rule).remarks():
                yield Finding(rule.file, remark.at.line, remark.at.column, severity, remark.problem, remark.fix)


def _unreached(modules: tuple[Module, ...], entries: set[str], reach: Reach) -> Iterator[Finding]:
    """Rules that no entry can reach, one finding for all of a name."""
    told = reach.from_((layers.ROOT, str(point), layers.ENTRY) for point in Point)
    for module in modules:
        for rule in module.rules if module.file not in entries else ():
            if rule.path not in told:
                told.add(rule.path)
                yield _nothing_reaches(rule)


def _nothing_reaches(rule: Rule) -> Finding:
    name, package = rule.head[0], ".".join(rule.package)
    problem = f"no entry reaches `{name}` of {package}: it decides nothing"
    fix = "use it in a rule that is reached, or drop it"
    severity: Severity = "warning"
    if rule.package[0] == layers.ROOT and rule.kind in {"set", "value"}:
        advice = meant(name, layers.SETS[Point(rule.package[1])])
        if advice.startswith("did you"):
            severity, fix = "error", advice
    elif rule.package[0] != layers.ROOT and name in {each for sets in layers.SETS.values() for each in sets}:
        severity, fix = (
            "error",
            f"package {layers.ROOT}.call, {layers.ROOT}.result or {layers.ROOT}.list is what decides",
        )
    return Finding(rule.file, rule.line, rule.column, severity, problem, fix)


def _unconditional(modules: tuple[Module, ...], entries: set[str], reach: Reach) -> Iterator[Finding]:
    """Bodies of `allow` that ask neither who nor what. A team's counts only for its upstreams, which is a condition."""
    asking = reach.asking(CONDITIONS)
    for module in modules:
        if module.file in entries or module.package != (layers.ROOT, str(Point.CALL)):
            continue
        for rule in module.rules:
            if rule.head[0] == "allow" and not all(_asks(module, rule, body, reach, asking) for body in rule.bodies):
                problem = "this allows whoever asks for whatever there is: no condition on the principal or the tool"
                fix = "ask for input.principal or input.tool, such as `input.tool.name in {…}`"
                yield Finding(rule.file, rule.line, rule.column, "warning", problem, fix)


def _asks(module: Module, rule: Rule, body: Body, reach: Reach, asking: set[reads.Path]) -> bool:
    """Whether the body asks who or what, or can never hold."""
    if any(line.kind == "expression" and line.parts[0].value is False for line in body.query):
        return True
    asks, names = reach.named(module, replace(rule, key=None, steps=(), bodies=(replace(body, value=None),)))
    return overlaps(asks, ((part,) for part in CONDITIONS)) or reach.reach_any(names, asking)


def _slow(modules: Iterable[Module], entries: set[str]) -> Iterator[Finding]:
    for slow in loops.slow(module for module in modules if module.file not in entries):
        problem = f"`{slow.name}` inside an iteration compiles its pattern each time round"
        fix = "look names up in a set or an object, such as `data.grants[tenant][tool]`"
        yield Finding(slow.rule.file, slow.at.line, slow.at.column, "warning", problem, fix)
