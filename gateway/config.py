"""Reading `bascule.yaml`: the file and the environment -> one frozen Settings, or every fault with its place.

Not the rules of single keys (settings.py); not the writing of the file (setup.py).
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from platformdirs import user_config_dir
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.errors import ConfigError
from gateway.model import JsonObject
from gateway.secret_sources import from_keyring
from gateway.settings import (
    AuditSettings,
    DataSettings,
    LimitSettings,
    Listen,
    PolicySettings,
    PrincipalSettings,
    Settings,
    UpstreamSettings,
    ViewSettings,
)

__all__ = [
    "AuditSettings",
    "DataSettings",
    "LimitSettings",
    "Listen",
    "PolicySettings",
    "PrincipalSettings",
    "Settings",
    "UpstreamSettings",
    "ViewSettings",
    "find",
    "json_schema",
    "load",
    "outline",
    "text_of",
]

KeyPath = tuple[str | int, ...]
DEPTH = 16
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_SECRETS_IN = frozenset({"env", "headers", "client_secret", "secret"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in the file."""

    line: int
    column: int
    problem: str


@dataclass(slots=True)
class Document:
    """The file as plain values, and where each key and value stands."""

    value: Any = None
    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    upstreams: str = "upstreams"
    """The word the file uses for them."""

    def fault(self, path: KeyPath, problem: str, *, at_key: bool = False) -> None:
        """Note a fault at the nearest place known for `path`."""
        places = self.keys if at_key else self.values
        known = next((places[path[:end]] for end in range(len(path), -1, -1) if path[:end] in places), (1, 1))
        self.faults.append(Fault(*known, f"{dotted(path)}: {problem}" if path else problem))


def find(explicit: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration in force: the one named, else $BASCULE_CONFIG, else ./bascule.yaml, else the user's."""
    if explicit is not None:
        return explicit
    if named := environ.get("BASCULE_CONFIG"):
        return Path(named)
    places = (Path("bascule.yaml"), Path(user_config_dir("bascule")) / "bascule.yaml")
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(f"no configuration at {places[0]} or {places[1]}: `bascule init` makes one, `-c FILE` names one")


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read, resolve and check the file. Raises ConfigError with all that is wrong."""
    return parse(text_of(path), path, environ)


def text_of(path: Path) -> str:
    """The file's text, byte for byte (no newline is translated)."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as problem:
        raise ConfigError(problem.strerror or "cannot be read", file=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", file=str(path)) from None


def parse(text: str, path: Path, environ: Mapping[str, str]) -> Settings:
    """Settings from the text that stands, or is going to stand, at `path`."""
    return _parsed(text, path, _resolver(path.absolute().parent, environ))


def _parsed(text: str, path: Path, resolve: Callable[[object], str]) -> Settings:
    document = read(text, str(path))
    if not isinstance(document.value, dict):
        raise ConfigError("should be a mapping that begins with `version: 1`", file=str(path), line=1)
    _merge_client_spelling(document)
    settings = _validated(document, path.absolute(), resolve)
    if settings is None or document.faults:
        raise _all(document.faults, str(path))
    return settings


def outline(path: Path, text: str | None = None) -> Settings:
    """The settings without their secrets, whose places hold words without meaning: for all that only looks or edits."""
    text = text_of(path) if text is None else text
    return _parsed(text, path, _unset)


def json_schema() -> JsonObject:
    """The file's JSON Schema, for editors."""
    schema = Settings.model_json_schema(by_alias=True)
    del schema["properties"]["file"]
    schema["properties"]["mcpServers"] = {
        **schema["properties"]["upstreams"],
        "description": "Another word for `upstreams`, as client configurations write it.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "bascule.yaml",
        "not": {"required": ["upstreams", "mcpServers"]},
    }


def dotted(path: KeyPath) -> str:
    """A key path as people write it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(text: str, file: str) -> Document:
    """YAML 1.2 as plain values with places. Tags, anchors, merge keys and several documents are refused."""
    node = compose(text, file)
    document = Document()
    if node is not None:
        document.value = _plain(node, (), document)
    return document


def compose(text: str, file: str) -> Node | None:
    """The YAML as nodes with their marks; None where there is nothing."""
    try:
        node: Node | None = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {}
        raise ConfigError(f"not YAML: {problem.problem or problem.context}", file=file, **place) from None
    except (YAMLError, NotImplementedError, AssertionError):  # the last two are how it gives up on some bad texts
        raise ConfigError("not YAML: it holds a character that YAML does not allow", file=file) from None
    return node


def _plain(node: Node, path: KeyPath, document: Document) -> Any:
    document.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if node.anchor is not None:
        document.fault(path, "anchors and aliases are not read here: write the value out")
        return None
    if len(path) > DEPTH:
        document.fault(path, "is nested too deep")
        return None
    if isinstance(node, MappingNode):
        return _mapping(node, path, document)
    if isinstance(node, SequenceNode):
        return [_plain(item, (*path, place), document) for place, item in enumerate(node.value)]
    return _scalar(node, path, document)


def _mapping(node: MappingNode, path: KeyPath, document: Document) -> JsonObject:
    plain: JsonObject = {}
    for key_node, value_node in node.value:
        place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, ScalarNode) or str(key_node.tag) == _TAG + "merge":
            document.faults.append(Fault(*place, f"{dotted(path)}: a key should be a plain word"))
            continue
        key = str(key_node.value)
        if key in plain:
            first = document.keys[(*path, key)][0]
            document.faults.append(Fault(*place, f"{dotted((*path, key))}: given twice, first in line {first}"))
            continue
        document.keys[(*path, key)] = place
        plain[key] = _plain(value_node, (*path, key), document)
    return plain


def _scalar(node: Node, path: KeyPath, document: Document) -> object:
    text = str(node.value)
    if "${" in text and not _SECRETS_IN.intersection(path):
        document.fault(path, "${…} is read only in env and headers")
    tag = str(node.tag)
    if tag == _TAG + "timestamp":
        return text
    try:
        return _SCALARS[tag](text)
    except KeyError:
        document.fault(path, "YAML tags are not read here")
    except ValueError:
        document.fault(path, "is not a number")
    return None


_TAG = "tag:yaml.org,2002:"
_SCALARS: Mapping[str, Callable[[str], object]] = {
    _TAG + "str": str,
    _TAG + "null": lambda _: None,
    _TAG + "bool": lambda text: text.lower() == "true",
    _TAG + "int": lambda text: int(text, 0 if text.lower().startswith(("0x", "0o")) else 10),
    _TAG + "float": float,
}


def _merge_client_spelling(document: Document) -> None:
    if "mcpServers" not in document.value:
        return
    if "upstreams" in document.value:
        document.fault(("mcpServers",), "means the same as upstreams: keep one of the two", at_key=True)
    document.value["upstreams"] = document.value.pop("mcpServers")
    document.upstreams = "mcpServers"


def _validated(document: Document, file: Path, resolve: Callable[[object], str]) -> Settings | None:
    tree = document.value
    if "file" in tree:
        document.fault(("file",), f"unknown key{_nearest('file', _known_keys(()))}", at_key=True)
    tree |= {"file": str(file), "policy": tree.get("policy", {})}
    context = {"folder": file.parent, "secret": resolve}
    try:
        # JSON's strict mode takes lists for tuples and text for dates and paths, but no "8484" for a number.
        return Settings.model_validate_json(orjson.dumps(tree), strict=True, context=context)
    except ValidationError as problem:
        for error in problem.errors(include_input=False, include_url=False):
            _explain(error, document)
    except orjson.JSONEncodeError:
        document.fault((), "holds a number that does not fit 64 bits")
    return None


def _explain(error: ErrorDetails, document: Document) -> None:
    at_key = error["loc"][-1:] == ("[key]",)
    path = error["loc"][:-1] if at_key else error["loc"]
    problem = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if error["type"] == "extra_forbidden":
        at_key, problem = True, f"unknown key{_nearest(str(path[-1]), _known_keys(path[:-1]))}"
    elif error["type"] == "missing":
        problem = "is missing"
    elif error["type"] == "string_pattern_mismatch" and path[-1:] == ("token_sha256",):
        problem = "should be 64 lower-case hex digits: printf %s TOKEN | sha256sum"
    if path[:1] == ("upstreams",):
        path = (document.upstreams, *path[1:])
    document.fault(path, problem, at_key=at_key)


def _nearest(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else f"; known here: {', '.join(known)}" if known else ""


def _known_keys(path: KeyPath) -> list[str]:
    """The keys the schema knows at `path`."""
    schema = root = json_schema()
    for part in (*path, None):
        while "$ref" in schema or "anyOf" in schema:
            if "$ref" in schema:
                schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
            else:  # one part of the file, or a short form of it
                schema = next((choice for choice in schema["anyOf"] if "$ref" in choice), {})
        if part is not None:
            within = [*schema.get("patternProperties", {}).values(), schema.get("items"), {}]
            schema = schema.get("properties", {}).get(str(part)) or next(inner for inner in within if inner is not None)
    return list(schema.get("properties", {}))


def _unset(value: object) -> str:
    """In the place of a secret: nothing is looked up."""
    if not isinstance(value, str | dict):
        raise ValueError("should be text")
    return "unset"


def _resolver(folder: Path, environ: Mapping[str, str]) -> Callable[[object], str]:
    def resolve(value: object) -> str:
        if isinstance(value, dict):
            return _from(value, folder, environ)
        if not isinstance(value, str):
            raise ValueError("should be text")
        return _REFERENCE.sub(lambda match: _variable(match[1], environ), value)

    return resolve


def _variable(reference: str, environ: Mapping[str, str]) -> str:
    match = _VARIABLE.fullmatch(reference)
    if match is None:
        raise ValueError("${…} should be ${NAME} or ${NAME:-default}")
    name, default = match[1], match[2]
    value = environ.get(name) or default
    if value is None:
        raise ValueError(f"the environment variable {name} is not set or empty (${{{name}:-default}} gives a default)")
    return value


def _from(value: JsonObject, folder: Path, environ: Mapping[str, str]) -> str:
    source = value.get("_from")
    if set(value) != {"_from"} or not isinstance(source, dict) or len(source) != 1:
        raise ValueError("should be text, or {_from: {file: PATH}}, {_from: {env: NAME}} or {_from: {keyring: NAME}}")
    [(kind, name)] = source.items()
    if kind not in {"file", "env", "keyring"} or not isinstance(name, str):
        raise ValueError("_from should be {file: PATH}, {env: NAME} or {keyring: SERVICE/NAME}")
    if kind == "env":
        return _variable(name, environ)
    if kind == "keyring":
        return from_keyring(name)
    path = folder / Path(name).expanduser()
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"{path} cannot be read as text") from None


def _all(faults: list[Fault], file: str) -> ConfigError:
    first, *others = sorted(faults, key=lambda fault: (fault.line, fault.column))
    more = "".join(f"\n{file}:{fault.line}:{fault.column}: {fault.problem}" for fault in others)
    return ConfigError(first.problem + more, file=file, line=first.line, column=first.column)
