"""Bundles and questions for tests of engines: the shipped entries with one file beside them, unchecked or loaded."""

from pathlib import Path

from gateway.model import Facts, JsonObject, Point
from gateway.policy import inputs
from gateway.policy.bundle import Bundle, load, shipped
from tests import nouns
from tests.policy.folders import CALL, written

NOW = Facts("2026-01-01T00:00:00Z")
ALLOW_ALL = CALL + 'allow contains "everything" if true\n'
ENTRIES = {f"bascule/{point}.rego": (shipped() / f"{point}.rego").read_text() for point in Point}
PANICS = CALL + 'allow contains "counted" if strings.count("abc", input.args.path) >= 0\n'
"""Refused by the load check, because the engine panics where the path is empty."""


def unchecked(policy: str, data: JsonObject | None = None, **entries: str) -> Bundle:
    """A bundle as no load check would let it through; `entries` replace the shipped ones of their points."""
    replaced = {f"bascule/{point}.rego": text for point, text in entries.items()}
    return Bundle.of({**ENTRIES, **replaced, "policies/tests.rego": policy}, data or {})


def loaded(folder: Path, policy: str, **files: str) -> Bundle:
    """The bundle of a folder with this policy in it."""
    return load(written(folder, {"tests.rego": policy, **files}))


def call(path: str = "notes/a.md", **facts: object) -> JsonObject:
    """What is asked about writing a note at `path`."""
    asked = nouns.proposal(call=nouns.call(arguments={"path": path, "text": "hello"}))
    return inputs.for_call(asked, Facts(**{"time": NOW.time, **facts}))  # type: ignore[arg-type]
