"""A policy bundle: the shipped entries, the user's Rego and data, one digest over all of it.

Loading refuses whatever would not be decided as its author means it; every fault names file, line and
column. Not what decides: that is an engine (`regorus`, `opa`), which takes a bundle whole or not at all.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import regorus

from gateway.errors import ConfigError
from gateway.model import Digest, JsonObject, Point
from gateway.policy import archive, differences, layers, negation, safety, source, syntax

DATA = "data.json"
ENTRIES = "bascule/"
USER = "policies/"
PANIC = "PanicException"
"""What a panic of regorus is called; its class is not exported and is no `Exception`."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything a decision depends on but its input. Equal digests decide alike."""

    files: Mapping[str, str]
    """Rego by path: the entries and what joins the teams below `bascule/`, the user's below `policies/`."""
    data: JsonObject
    digest: Digest
    content: bytes
    """All of it as one deterministic archive; `from_content` takes it back."""
    tests: Mapping[str, str] = field(default_factory=dict)
    """The user's `*_test.rego`: they decide nothing, so neither digest nor content holds them."""

    @classmethod
    def of(cls, files: Mapping[str, str], data: JsonObject, tests: Mapping[str, str] | None = None) -> "Bundle":
        """The bundle of these files, unchecked: a stored one was checked when it was loaded."""
        parts = {path: text.encode() for path, text in files.items()}
        parts[DATA] = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
        content = archive.pack(parts)
        return cls(dict(files), data, _digest(content), content, dict(tests or {}))

    @classmethod
    def from_content(cls, content: bytes) -> "Bundle":
        """The bundle whose `content` this is."""
        parts = archive.unpack(content)
        files = {path: text.decode() for path, text in parts.items() if path != DATA}
        return cls(files, orjson.loads(parts[DATA]), _digest(content), content)


def shipped() -> Path:
    """Where the shipped policies are: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "shipped" / "policies"
    return installed if installed.is_dir() else package.parent / "policies"


def load(place: Path, live: Mapping[str, bytes] | None = None, *, engine: str = "regorus") -> Bundle:
    """The bundle of a directory or an OPA bundle tarball, and of live data documents by name.

    What is refused is meant for the engine: OPA's own compiler judges what a real OPA is going to run.
    """
    found = source.read(place)
    data = source.merged(found.data, live or {}, place)
    if layers.ROOT in data:
        raise ConfigError(f"data.{layers.ROOT} is where the policies are: name the data otherwise", file=str(place))
    entries = {f"{ENTRIES}{point}.rego": (shipped() / f"{point}.rego").read_text() for point in Point}
    user = {f"{USER}{path}": text for path, text in found.rego.items()}
    shown = {path: str(place / path.removeprefix(USER)) for path in user}
    modules = _parsed(user, shown, lenient=engine == "opa")
    layers.check(modules)
    for point in Point:
        if text := layers.joined(point, modules):
            entries[f"{ENTRIES}teams_{point}.rego"] = text
    files = {**entries, **user}
    if engine != "opa":
        _check(files, shown, data)
    negation.check(modules, frozenset(shown.values()))
    return Bundle.of(files, data, found.tests)


def compiled(bundle: Bundle) -> regorus.Engine:
    """A new engine that holds the bundle; it may be used in this thread only."""
    engine = regorus.Engine()
    for path in sorted(bundle.files):
        engine.add_policy(path, bundle.files[path])
    engine.add_data_json(orjson.dumps(bundle.data).decode())
    return engine


def _parsed(files: Mapping[str, str], shown: Mapping[str, str], *, lenient: bool = False) -> tuple[syntax.Module, ...]:
    engine = regorus.Engine()
    unparsed: list[syntax.Module] = []
    for path in sorted(files):
        name = shown.get(path, path)
        try:
            engine.add_policy(name, files[path])
        except RuntimeError as error:
            if not lenient:
                raise fault(str(error), name, files[path]) from None
            unparsed.append(layers.guessed(name, files[path]))
    return (*syntax.modules(engine.get_ast_as_json()), *unparsed)


def _check(files: Mapping[str, str], shown: Mapping[str, str], data: JsonObject) -> None:
    modules = _parsed(files, shown)
    theirs = frozenset(shown.values())
    differences.check(modules, theirs, data)
    safety.check(modules, theirs)
    engine = regorus.Engine()
    for path in sorted(files):
        engine.add_policy(shown.get(path, path), files[path])
    engine.set_input_json("{}")
    for point in Point:
        try:
            engine.eval_rule_as_json(f"data.{layers.ROOT}.{point}.{layers.ENTRY}")
        except RuntimeError as error:
            raise fault(str(error), "", "") from None
        except BaseException as error:
            if type(error).__name__ != PANIC:
                raise
            raise ConfigError(f"the engine in process breaks down on the rules of `{point}`: {error}") from None


_PLACE = re.compile(r"--> (?P<file>[^\n]*):(?P<line>\d+):(?P<column>\d+)\n")
_MESSAGE = re.compile(r"^error: (?P<message>.*)$", re.MULTILINE)
_NEWER = (('$"', 'a text with `$"…"`'), ("$`", "a text with `$`…``"))
_BODY_AFTER_NOT = re.compile(r"\bnot\s*\{[^{}]*")
"""The engine stops at the `not`, or where what it takes for a set stops being one."""


def fault(error: str, file: str, text: str) -> ConfigError:
    """What the engine said of a file, in one line with its place; never its backtrace."""
    place, said = _PLACE.search(error), _MESSAGE.search(error)
    message = said["message"].strip().rstrip(".") if said else error.strip().splitlines()[0][:200]
    if not place:
        return ConfigError(f"is not Rego that can be loaded: {message}", file=file)
    line, column = int(place["line"]), int(place["column"])
    lines, newer = text.split("\n"), ""
    if line <= len(lines):
        column = _column(lines[line - 1], column)
        newer = _newer(lines[line - 1], column - 1)
    if newer:
        message = f"{newer} is newer than the engine in process: write it otherwise, or set `policy.engine: opa`"
    else:
        message = f"is not valid Rego: {message}"
    return ConfigError(message, file=place["file"] or file, line=line, column=column)


def _newer(line: str, place: int) -> str:
    """What stands there that only a newer OPA reads; empty where it is nothing known."""
    for sign, name in _NEWER:
        if line.startswith(sign, place):
            return name
    bodies = (found.span() for found in _BODY_AFTER_NOT.finditer(line))
    return "a body after `not`" if any(start <= place <= end for start, end in bodies) else ""


def _column(line: str, column: int) -> int:
    """The engine counts a tab as four."""
    width = 1
    for place, letter in enumerate(line, start=1):
        if width >= column:
            return place
        width += 4 if letter == "\t" else 1
    return len(line) + 1


def _digest(content: bytes) -> Digest:
    """Of the archive itself (every path and its bytes, in order), so that whoever holds the bytes can check it."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")
