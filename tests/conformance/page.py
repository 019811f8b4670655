"""`python -m tests.conformance.page` runs the gate and writes docs/conformance.md from what the runs came to.

Takes some minutes. Ends with 1, and writes all the same, where a run does not pass.
"""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.conformance.runs import BRIDGES, DIRECT, THROUGH, Run, faults, verdict
from tests.conformance.suite import CLIENT, MODERN, SERVER, Verdict, scenarios
from tests.serving import ROOT

PAGE = ROOT / "docs" / "conformance.md"
WORDS = {"both": "of both eras", "modern": "modern only", "legacy": "legacy", "auto": "modern", MODERN: "modern"}
ABOUT = """\
# Conformance

What the official suite, `@modelcontextprotocol/conformance` 0.2.0-alpha.12, finds: of the fixtures in
`tests/conformance/` directly, and of the same through the gateway, with a policy that allows by rule
(`tests/conformance/policies/suite.rego`) and the log on. Written by `make conformance`; `make test-all` runs the same
and holds this page to it.

A run passes when the suite exits with 0 and every scenario that the revision scores ran and did not fail. A number is
how many checks of the scenario passed; through the gateway each check must end as it does directly, but in
`server-sse-multiple-streams`, which leaves a server the choice between JSON and streams. A run against a port where
nobody listens does not pass: a test sees to that. `auth/*` of clients is expected to fail: the gateway passes nobody's
sign-in on.
"""


def cell(told: Verdict, scenario: str) -> str:
    """What came of a scenario: how many checks passed, of how many that were made."""
    checks = told.scored.get(scenario)
    if checks is None:
        return "not run"
    passed = sum(count for (_, status), count in checks.items() if status == "SUCCESS")
    if scenario not in told.failing:
        return f"passed, {passed}"
    return "expected to fail" if scenario in told.expected else f"**failed**, {passed} of {sum(checks.values())}"


def table(rows: Mapping[str, tuple[str, ...]], heads: tuple[str, ...]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())]) + "\n"


def section(direct: Run, there: Verdict, asked: Run, here: Verdict) -> str:
    """One revision and role: each scenario, directly and through the gateway."""
    names = sorted(scenarios(asked.role, asked.revision))
    rows = {f"`{name}`": (cell(there, name), cell(here, name)) for name in names if not name.startswith("auth/")}
    left_out = sum(name.startswith("auth/") for name in names)
    told = f"{len(names)} scenarios are scored" + (f", {left_out} of them `auth/*`.\n\n" if left_out else ".\n\n")
    return f"## As a {asked.role}, {asked.revision}\n\n{told}" + table(rows, ("scenario", "directly", "through"))


def bridge(asked: Run, told: Verdict) -> str:
    """Across the eras: what passes, and each exception with its reason."""
    if asked.role == SERVER:
        who = f"The suite plays a client of {asked.revision}; the server behind the gateway is {WORDS[asked.other]}"
    else:
        who = f"The suite plays a server of {asked.revision}; the client before the gateway is {WORDS[asked.other]}"
    passed = sorted(told.scored.keys() - told.failing)
    said = f"{len(passed)} scenarios pass" + (": " + ", ".join(f"`{name}`" for name in passed) if passed else "")
    none = "No exceptions but `auth/*`.\n" if asked.role == CLIENT else "No exceptions.\n"
    reasons = "".join(f"- `{name}`: {why}\n" for name, why in asked.exceptions.items())
    return f"### {who}\n\n{said}.\n\n{reasons or none}"


def page(told: Mapping[str, Verdict]) -> str:
    """The whole page, from what each run came to by its title."""
    pairs = zip(DIRECT, THROUGH, strict=True)
    sections = [section(direct, told[direct.title], asked, told[asked.title]) for direct, asked in pairs]
    across = "## Across the eras\n\n" + "\n".join(bridge(asked, told[asked.title]) for asked in BRIDGES)
    return "\n".join([ABOUT, *sections, across])


async def main() -> int:
    told: dict[str, Verdict] = {}
    problems = []
    for asked in (*DIRECT, *THROUGH, *BRIDGES):
        with tempfile.TemporaryDirectory() as folder:
            told[asked.title] = await verdict(asked, Path(folder))
        problems += [f"{asked.title}: {fault}" for fault in faults(asked, told[asked.title])]
        print(f"{asked.title}: {told[asked.title].code}", file=sys.stderr)
    PAGE.write_text(page(told), encoding="utf-8")
    print("\n".join(problems), file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
