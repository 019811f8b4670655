"""Other people's judgement of Rego, where their programs are installed: OPA's compiler, and Regal.

They are started by the caller's `run`, because processes start in one place only.
"""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from gateway.policy import bundle
from gateway.policy.findings import Finding, Severity

Run = Callable[[Sequence[str], float], Awaitable[tuple[int, str]]]
"""Runs a program with a time limit in seconds; its exit code and what it printed."""
LONGEST_S = 60.0
OPA = "BASCULE_OPA"
"""The variable that names the `opa` to ask."""


async def ask(place: Path, run: Run) -> list[Finding]:
    """What they say of the policies at `place`; at the end, which of them were not found."""
    opa, regal = _opa(), shutil.which("regal")
    asked: list[Awaitable[list[Finding]]] = []
    missing: list[str] = []
    if opa:
        asked.append(_ask_opa(opa, place, run))
    else:
        missing.append("opa")
    if regal:
        asked.append(_ask_regal(regal, place, run))
    else:
        missing.append("regal")
    found = [finding for findings in await asyncio.gather(*asked) for finding in findings]
    if missing:
        names = " and ".join(f"`{name}`" for name in missing)
        fix = f"put {'it' if len(missing) == 1 else 'them'} in PATH" + (f", or name opa in {OPA}" if not opa else "")
        found.append(Finding(str(place), 0, 0, "info", f"{names} not found, so not asked", fix))
    return found


def _opa() -> str | None:
    named = os.environ.get(OPA, "")
    return named if named and os.access(named, os.X_OK) else shutil.which("opa")


async def _ask_opa(opa: str, place: Path, run: Run) -> list[Finding]:
    schemas = str(bundle.shipped() / "schemas")
    argv = [opa, "check", "--strict", "--bundle", "--schema", schemas, "--format", "json", str(place)]
    code, said = await run(argv, LONGEST_S)
    if code == 0:
        return []
    try:
        errors = _object(said)["errors"]
        return [_finding(each, "error", each["message"], each.get("code", ""), "opa check --strict") for each in errors]
    except (ValueError, LookupError, TypeError):
        return [_silent(place, "opa check", said)]


async def _ask_regal(regal: str, place: Path, run: Run) -> list[Finding]:
    # Its question after newer versions would leave the machine.
    argv = ["env", "REGAL_DISABLE_CHECK_VERSION=true", regal, "lint", "--format", "json", str(place)]
    _, said = await run(argv, LONGEST_S)
    try:
        violations: Iterable[Any] = _object(said)["violations"] or ()
        return [
            _finding(each, "warning", each["description"], f"{each['category']}/{each['title']}", "regal lint")
            for each in violations
        ]
    except (ValueError, LookupError, TypeError):
        return [_silent(place, "regal lint", said)]


def _object(said: str) -> Any:
    """The JSON object in what was printed; notes may stand around it."""
    return orjson.loads(said[said.index("{") : said.rindex("}") + 1])


def _finding(raw: Any, severity: Severity, problem: str, code: str, who: str) -> Finding:
    where = raw.get("location") or {}
    said = f"{who}: {' '.join(problem.split())}" + (f" ({code})" if code else "")
    near = ((raw.get("details") or {}) if isinstance(raw.get("details"), dict) else {}).get("oneOf") or []
    fix = f"there is {', '.join(map(str, near))}" if near else ""
    return Finding(where.get("file", ""), where.get("row", 0), where.get("col", 0), severity, said, fix)


def _silent(place: Path, who: str, said: str) -> Finding:
    first = said.strip().splitlines()[0][:200] if said.strip() else "nothing"
    return Finding(str(place), 0, 0, "warning", f"{who} gave no answer that can be read: {first}")
