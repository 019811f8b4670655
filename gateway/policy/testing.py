"""The tests of a folder of policies: every `test_*` rule, run in the engine that will decide.

A test passes when it is true; undefined and false fail, and an evaluation that breaks off is an error.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import orjson
import regorus

from gateway.model import JsonObject
from gateway.policy import bundle, folder
from gateway.policy.syntax import Module, Rule, statements

PREFIX = "test_"
SHOWN = 300
"""The most characters of a failure that are shown."""

Status = Literal["pass", "fail", "error"]
UNDEFINED = '"<undefined>"'
"""What the engine writes for a rule without a value."""
_LET_THROUGH = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


@dataclass(frozen=True, slots=True)
class Ran:
    """One test and how it ended."""

    package: str
    name: str
    status: Status
    file: str
    line: int
    detail: str = ""

    def told(self) -> JsonObject:
        """As JSON."""
        told: JsonObject = {
            "package": self.package,
            "name": self.name,
            "status": self.status,
            "file": self.file,
            "line": self.line,
        }
        return told | ({"detail": self.detail} if self.detail else {})


@dataclass(frozen=True, slots=True)
class TestReport:
    """What a run of tests found."""

    tests: tuple[Ran, ...]
    coverage: Mapping[str, tuple[int, ...]] | None = None
    """Per policy file the lines that no test reached; None where nobody asked."""

    @property
    def passed(self) -> int:
        """How many were true."""
        return sum(ran.status == "pass" for ran in self.tests)

    @property
    def failed(self) -> int:
        """How many were not, errors among them."""
        return len(self.tests) - self.passed

    def told(self) -> JsonObject:
        """As JSON."""
        told: JsonObject = {
            "tests": [ran.told() for ran in self.tests],
            "passed": self.passed,
            "failed": self.failed,
        }
        if self.coverage is not None:
            told["coverage"] = {file: list(lines) for file, lines in self.coverage.items()}
        return told


def run_tests(loaded: bundle.Bundle, *, coverage: bool = False) -> TestReport:
    """Run every test of the bundle, each on an engine of its own.

    Raises:
        ConfigError: a test file cannot be run as its author means it.
    """
    engine, modules = folder.with_tests(loaded)
    engine.set_enable_coverage(True)
    engine.set_gather_prints(True)
    # Any evaluation prepares the engine, so that its clones need not.
    engine.eval_query_as_json("true")
    texts = {**loaded.files, **loaded.tests}
    reached: dict[str, set[int]] = {}
    missed: dict[str, set[int]] = {}
    ran: list[Ran] = []
    for rule in _tests(loaded, modules):
        own = engine.clone()
        ran.append(_run(rule, own, texts[rule.file]))
        if coverage:
            _add(own, reached, missed)
    return TestReport(tuple(ran), _not_reached(loaded, modules, reached, missed) if coverage else None)


def _tests(loaded: bundle.Bundle, modules: Iterable[Module]) -> list[Rule]:
    """One rule per test, in the order of the files; a name that is written twice is one test."""
    found: dict[tuple[str, ...], Rule] = {}
    for module in modules:
        for rule in module.rules if module.file in loaded.tests else ():
            if rule.head[0].startswith(PREFIX) and rule.kind != "default":
                found.setdefault(rule.path, rule)
    return list(found.values())


def _run(rule: Rule, engine: regorus.Engine, text: str) -> Ran:
    status, detail = _ended(rule, engine)
    if status == "fail":
        detail += _last_line(rule, engine, text)
    if status != "pass":
        detail = "\n".join([detail, *engine.take_prints()])
    return Ran(".".join(rule.package), rule.head[0], status, rule.file, rule.line, detail)


def _ended(rule: Rule, engine: regorus.Engine) -> tuple[Status, str]:
    if rule.steps or rule.args:
        return "error", "a test has neither arguments nor cases in its name here: walk over the cases with `every`"
    try:
        value = engine.eval_rule_as_json(f"data{''.join(f'[{orjson.dumps(part).decode()}]' for part in rule.path)}")
    except _LET_THROUGH:
        raise
    except RuntimeError as error:
        fault = bundle.fault(str(error), "", "")
        place = f"{fault.file}:{fault.line}: " if fault.line else ""
        return "error", f"{place}{fault.problem.rpartition(': ')[2]}"[:SHOWN]
    except BaseException as error:  # noqa: BLE001 - a panic of the engine is no Exception, and ends one test only
        return "error", f"the engine panicked: {str(error).strip()[:SHOWN]}"
    if value.strip() == "true":
        return "pass", ""
    return "fail", "is undefined" if value == UNDEFINED else f"is {' '.join(value.split())[:SHOWN]}, not true"


def _last_line(rule: Rule, engine: regorus.Engine, text: str) -> str:
    """How far a test got: its line that was evaluated last."""
    covered = {line for file, lines, _ in _coverage(engine) if file == rule.file for line in lines}
    lines = {line.line for body in rule.bodies for line in statements(body.query)} & covered
    if len(rule.bodies) > 1 or not lines:
        return ""
    last = max(lines)
    return f"; it got to line {last}: {text.splitlines()[last - 1].strip()[:SHOWN]}"


def _coverage(engine: regorus.Engine) -> Iterable[tuple[str, list[int], list[int]]]:
    for each in orjson.loads(engine.get_coverage_report_as_json())["files"]:
        yield each["path"], each["covered"], each["not_covered"]


def _add(engine: regorus.Engine, reached: dict[str, set[int]], missed: dict[str, set[int]]) -> None:
    for file, covered, not_covered in _coverage(engine):
        reached.setdefault(file, set()).update(covered)
        missed.setdefault(file, set()).update(not_covered)


def _not_reached(
    loaded: bundle.Bundle, modules: Iterable[Module], reached: dict[str, set[int]], missed: dict[str, set[int]]
) -> dict[str, tuple[int, ...]]:
    """Of the user's files, and of an entry whose own test is among the tests."""
    found: dict[str, tuple[int, ...]] = {}
    for module in modules:
        name = module.file.removeprefix(bundle.USER).removeprefix(bundle.ENTRIES)
        tested = f"{name.removesuffix('.rego')}_test.rego" in loaded.tests
        if module.file in loaded.tests or not (module.file.startswith(bundle.USER) or tested):
            continue
        # The engine reports no file of which it evaluated nothing.
        lines = missed[module.file] if module.file in reached else set(_lines(module))
        found[name] = tuple(sorted(lines - reached.get(module.file, set())))
    return found


def _lines(module: Module) -> Iterable[int]:
    for rule in module.rules:
        for body in rule.bodies:
            yield from (line.line for line in statements(body.query))
            if body.value or not body.query:
                yield body.value.line if body.value else rule.line
