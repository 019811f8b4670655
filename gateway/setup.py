"""`bascule init`, `add` and `remove`: makes and edits the operator's files; nothing is overwritten unasked.

Edits change only the bytes they mean: comments, order, quotes and spacing elsewhere stay as they were.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

from gateway import config
from gateway.audit import keys
from gateway.errors import ConfigError
from gateway.settings import default_origin

TOKEN_PREFIX = "bascule_"

_TEMPLATE = """\
# Settings of this gateway: every key is in docs/config.md, an unknown one is an error.
version: 1
state: .bascule            # database, keys, control socket; for this user only
listen: {{host: 127.0.0.1, port: 8484}}
principals:                # who may ask; of a token only its SHA-256 stands here
  {principal}: {{tenant: default, token_sha256: "{digest}"}}
upstreams: {{}}              # bascule add --transport http NAME URL
policy: {{bundle: policies, manifests: manifests}}
audit: {{origin: "{origin}"}}
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `init` made. The token is nowhere else."""

    config: Path
    state: Path
    policies: Path
    principal: str
    token: str
    origin: str


def init(folder: Path, *, principal: str = "agent", origin: str | None = None, force: bool = False) -> Prepared:
    """Make a configuration, the starter policy, keys and one principal.

    With `force` the configuration and the starter's policy files are written over; keys and records never are.
    """
    file, policies, state = folder / "bascule.yaml", folder / "policies", folder / ".bascule"
    if not force and (there := [str(path) for path in (file, policies) if path.exists()]):
        raise ConfigError(f"{' and '.join(there)} already there: --force writes over, another folder does not have to")
    origin = _origin(state, origin)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    text = _TEMPLATE.format(principal=principal, digest=digest, origin=origin)
    config.parse(text, file, {})
    starter = shipped("policies/packs/starter")
    folder.mkdir(parents=True, exist_ok=True)
    state_folder(state, origin)
    shutil.copytree(starter, policies, dirs_exist_ok=True)
    write(file, text)
    return Prepared(file, state, policies, principal, token, origin)


def state_folder(state: Path, origin: str) -> None:
    """See that the folder is there, private, and has its keys."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(0o700)
    if not (state / keys.SIGNING).exists():
        keys.create(state, origin)
    ignore = state / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def shipped(name: str) -> Path:
    """A folder that comes with Bascule: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    for place in (package / "shipped" / name, package.parent / name):
        if place.is_dir():
            return place
    raise ConfigError(f"this installation lacks {name}: install bascule again")


def add(
    file: Path,
    name: str,
    url: str,
    *,
    headers: Mapping[str, str],
    mode: Literal["enforce", "shadow"] = "enforce",
    until: date | None = None,
    trust: Literal["first_use", "review"] = "first_use",
) -> None:
    """Write an upstream into the file. Raises ConfigError where the result would be no valid configuration."""
    upstream: dict[str, object] = {"url": url}
    if headers:
        upstream["headers"] = dict(headers)
    if mode == "shadow":
        upstream["mode"] = mode
    if until is not None:
        upstream["until"] = until.isoformat()
    if trust == "review":
        upstream["trust"] = trust
    text = config.text_of(file)
    names = _names(text, file)
    if name in names:
        raise ConfigError(f"upstream '{name}' is there already: `bascule remove {name}` takes it out", file=str(file))
    _replace(file, with_upstream(text, str(file), name, upstream), {*names, name})


def remove(file: Path, name: str) -> None:
    """Take an upstream out of the file."""
    text = config.text_of(file)
    names = _names(text, file)
    if name not in names:
        raise ConfigError(f"no upstream '{name}'; there is {', '.join(names) or 'none'}", file=str(file))
    _replace(file, without_upstream(text, str(file), name), {*names} - {name})


def write(file: Path, text: str) -> None:
    """Replace the file in one step, with the mode it had (0600 where there was none)."""
    target = file.resolve()
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(text.encode("utf-8"))
            out.flush()
            os.fsync(out.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except OSError as problem:
        Path(temporary).unlink(missing_ok=True)
        raise ConfigError(f"cannot be written: {problem.strerror}", file=str(file)) from None


def with_upstream(text: str, file: str, name: str, upstream: Mapping[str, object]) -> str:
    """The text with one more upstream, after those that are there."""
    root = _root(text, file)
    newline = "\r\n" if "\r\n" in text else "\n"
    entry = f"{name}: {_flow(upstream)}"
    found = _upstreams(root)
    if found is None:
        if root.flow_style:
            return _insert_in_flow(text, root, f'"upstreams": {{"{name}": {json.dumps(upstream)}}}')
        end = text if text.endswith("\n") else text + newline
        return f"{end}upstreams:{newline}  {entry}{newline}"
    key, value = found
    if root.flow_style or (isinstance(value, MappingNode) and value.flow_style and value.value):
        return _insert_in_flow(text, value, f'"{name}": {json.dumps(upstream)}' if root.flow_style else entry)
    if isinstance(value, MappingNode) and value.value:
        indent, at = value.value[0][0].start_mark.column, _line_end(text, _end(text, value))
    else:
        # `upstreams: {}` or nothing: the value goes, entries follow on lines of their own.
        colon = text.index(":", key.end_mark.index) + 1
        stands = text[colon : _end(text, value)]
        text = text[:colon] + text[colon + len(stands) :] if stands.strip() else text
        indent, at = 2, _line_end(text, colon)
    return f"{text[:at]}{newline}{' ' * indent}{entry}{text[at:]}"


def without_upstream(text: str, file: str, name: str) -> str:
    """The text without the upstream; its own lines, or its part of a line, are gone."""
    word, value = _upstreams(_root(text, file)) or (None, None)
    if word is None or not isinstance(value, MappingNode):
        raise ConfigError("has no upstreams", file=file)
    place = [key.value for key, _ in value.value].index(name)
    key, entry = value.value[place]
    if value.flow_style:
        if place + 1 < len(value.value):
            return text[: key.start_mark.index] + text[value.value[place + 1][0].start_mark.index :]
        start = _end(text, value.value[place - 1][1]) if place else key.start_mark.index
        return text[:start] + text[_end(text, entry) :]
    start, end = key.start_mark.index - key.start_mark.column, _line_end(text, _end(text, entry))
    end += 2 if text.startswith("\r\n", end) else 1
    if len(value.value) > 1:
        return text[:start] + text[end:]
    colon = text.index(":", word.end_mark.index) + 1
    return f"{text[:colon]} {{}}{text[colon:start]}{text[end:]}"


def _replace(file: Path, text: str, upstreams: set[str]) -> None:
    if set(config.outline(file, text).upstreams) != upstreams:
        raise ConfigError("that name is no name of an upstream", file=str(file))
    write(file, text)


def _origin(state: Path, wanted: str | None) -> str:
    """The log's name: that of the keys that are there, else the one wanted."""
    if not (state / keys.PUBLIC).exists():
        return wanted or default_origin()
    there = keys.public_key(state).partition("+")[0]
    if wanted not in {None, there}:
        raise ConfigError(f"the keys in {state} are those of the log '{there}', which cannot be renamed")
    return there


def _root(text: str, file: str) -> MappingNode:
    root = config.compose(text, file)
    if not isinstance(root, MappingNode):
        raise ConfigError("should be a mapping that begins with `version: 1`", file=file, line=1)
    return root


def _upstreams(root: MappingNode) -> tuple[Node, Node] | None:
    return next(((key, value) for key, value in root.value if key.value in {"upstreams", "mcpServers"}), None)


def _names(text: str, file: Path) -> list[str]:
    found = _upstreams(_root(text, str(file)))
    return [key.value for key, _ in found[1].value] if found and isinstance(found[1], MappingNode) else []


def _end(text: str, node: Node) -> int:
    """Where the node's last character stands; a block's own end mark lies behind its comments."""
    if isinstance(node, ScalarNode):
        return int(node.start_mark.index) + len(text[node.start_mark.index : node.end_mark.index].rstrip())
    if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(text, last[1] if isinstance(node, MappingNode) else last)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if end > at and text[end - 1] == "\r" else end


def _insert_in_flow(text: str, node: Node, entry: str) -> str:
    if node.value:
        at, entry = _end(text, node.value[-1][1]), f", {entry}"
    else:
        at = int(node.end_mark.index) - 1
    return text[:at] + entry + text[at:]


def _flow(value: object) -> str:
    """A value as one line of YAML."""
    if isinstance(value, Mapping):
        pairs = (f"{_plain(str(key), r'[A-Za-z][A-Za-z-]*')}: {_flow(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return _plain(str(value), r"shadow|review|\d{4}-\d\d-\d\d")


def _plain(text: str, unquoted: str) -> str:
    return text if re.fullmatch(unquoted, text) else json.dumps(text, ensure_ascii=False)
