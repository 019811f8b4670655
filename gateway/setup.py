"""`bascule init`, `add` and `remove`: makes and edits the operator's files; nothing is overwritten unasked.

Edits change only the bytes they mean: comments, order, quotes and spacing elsewhere stay as they were.
"""

import hashlib
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from ruamel.yaml.nodes import MappingNode

from gateway import config
from gateway.audit import keys
from gateway.errors import ConfigError
from gateway.executors.egress.destinations import parse_allow
from gateway.executors.packages.commands import read_command
from gateway.resources import resource
from gateway.settings import default_origin
from gateway.yamltext import UPSTREAMS, root_of, section, with_entries, without_pair, write

TOKEN_PREFIX = "bascule_"

_TEMPLATE = """\
# Settings of this gateway: every key is in docs/config.md, an unknown one is an error.
version: 1
state: .bascule            # database, keys, control socket; for this user only
listen: {{host: 127.0.0.1, port: 8484}}
principals: {{}}                # who may ask; of a token only its SHA-256 stands here
upstreams: {{}}              # bascule add NAME -- COMMAND …, or bascule add --transport http NAME URL
policy: {{bundle: policies, manifests: manifests}}
audit: {{origin: "{origin}"}}
"""
_PRINCIPALS = ("principals",)


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
    token = new_token()
    text = with_principals(_TEMPLATE.format(origin=origin), str(file), {principal: token})
    config.parse(text, file, {})
    starter = resource("policies/packs/starter")
    folder.mkdir(parents=True, exist_ok=True)
    state_folder(state, origin)
    shutil.copytree(starter, policies, dirs_exist_ok=True)
    write(file, text)
    return Prepared(file, state, policies, principal, token, origin)


def new_token() -> str:
    """A bearer token that nobody has."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def fresh(folder: Path) -> tuple[str, str]:
    """The text of a configuration in which nobody may ask yet, and the log's name in it."""
    origin = _origin(folder / ".bascule", None)
    return _TEMPLATE.format(origin=origin), origin


def furnish(folder: Path, origin: str) -> None:
    """See that state, keys and the starter policy are there for a configuration that is going to be written."""
    policies = folder / "policies"
    starter = resource("policies/packs/starter")
    state_folder(folder / ".bascule", origin)
    if not policies.exists():
        shutil.copytree(starter, policies)


def state_folder(state: Path, origin: str) -> None:
    """See that the folder is there, private, and has its keys."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state.chmod(0o700)
    if not (state / keys.SIGNING).exists():
        keys.create(state, origin)
    ignore = state / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


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
    """Write an upstream with an address. Raises ConfigError where the result would be no valid configuration."""
    upstream: dict[str, object] = {"url": url}
    if headers:
        upstream["headers"] = dict(headers)
    register(file, name, upstream | _judged(mode, until, trust))


@dataclass(frozen=True, slots=True)
class Program:
    """A server that is run here: its command, and what it is given."""

    command: str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    folders: Mapping[str, str] = field(default_factory=dict)
    allow: Sequence[str] = ()
    """Hosts with their ports."""
    sandbox: str = "default"
    share: Literal["principal", "all"] = "principal"

    def upstream(self) -> dict[str, object]:
        """As bascule.yaml says it; what is the default stays out."""
        given: dict[str, object] = {"command": self.command, "args": list(self.args), "env": dict(self.env)}
        given["folders"] = dict(self.folders)
        given["sandbox"] = "" if self.sandbox == "default" else self.sandbox
        given["network"] = {"allow": list(self.allow)} if self.allow else {}
        given["share"] = "" if self.share == "principal" else self.share
        return {key: value for key, value in given.items() if value}


def add_command(
    file: Path,
    name: str,
    program: Program,
    *,
    mode: Literal["enforce", "shadow"] = "enforce",
    until: date | None = None,
    trust: Literal["first_use", "review"] = "first_use",
) -> None:
    """Write an upstream that is run here. Raises ConfigError for a command that cannot be, as `add` does."""
    read_command(program.command, program.args)
    for entry in program.allow:
        parse_allow(entry)
    register(file, name, program.upstream() | _judged(mode, until, trust))


def register(file: Path, name: str, upstream: Mapping[str, object]) -> None:
    """Write an upstream into the file. Raises ConfigError where the result would be no valid configuration."""
    text = config.text_of(file)
    names = _names(text, file)
    if name in names:
        raise ConfigError(f"upstream '{name}' is there already: `bascule remove {name}` takes it out", file=str(file))
    _replace(file, with_upstream(text, str(file), name, upstream), {*names, name})


def check_upstream(name: str, upstream: Mapping[str, object]) -> None:
    """Raise ConfigError where no configuration could hold this upstream."""
    text = with_upstream("version: 1\naudit: {origin: a/b}\n", "", name, upstream)
    if set(config.outline(Path("bascule.yaml"), text).upstreams) != {name}:
        raise ConfigError("that name is no name of an upstream")


def remove(file: Path, name: str) -> None:
    """Take an upstream out of the file."""
    text = config.text_of(file)
    names = _names(text, file)
    if name not in names:
        raise ConfigError(f"no upstream '{name}'; there is {', '.join(names) or 'none'}", file=str(file))
    _replace(file, without_upstream(text, str(file), name), {*names} - {name})


def with_upstream(text: str, file: str, name: str, upstream: Mapping[str, object]) -> str:
    """The text with one more upstream, after those that are there."""
    return with_upstreams(text, file, {name: upstream})


def with_upstreams(text: str, file: str, upstreams: Mapping[str, Mapping[str, object]]) -> str:
    """The text with more upstreams, after those that are there."""
    return with_entries(text, file, UPSTREAMS, upstreams)


def with_principals(text: str, file: str, tokens: Mapping[str, str]) -> str:
    """The text with more principals, each with its token."""
    digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in tokens.items()}
    said = {name: {"tenant": "default", "token_sha256": digest} for name, digest in digests.items()}
    return with_entries(text, file, _PRINCIPALS, said)


def without_upstream(text: str, file: str, name: str) -> str:
    """The text without the upstream; its own lines, or its part of a line, are gone."""
    word, value = section(root_of(text, file), UPSTREAMS) or (None, None)
    if word is None or not isinstance(value, MappingNode):
        raise ConfigError("has no upstreams", file=file)
    place = [key.value for key, _ in value.value].index(name)
    if value.flow_style or len(value.value) > 1:
        return without_pair(text, value, place)
    # The last of a block: `{}` stands for it, and comments above it stay.
    key = value.value[place][0]
    colon = text.index(":", word.end_mark.index) + 1
    start = key.start_mark.index - key.start_mark.column
    return f"{text[:colon]} {{}}{text[colon:start]}{without_pair(text, value, place)[start:]}"


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


def _judged(mode: str, until: date | None, trust: str) -> dict[str, object]:
    given = {
        "mode": mode if mode == "shadow" else "",
        "until": until.isoformat() if until else "",
        "trust": trust if trust == "review" else "",
    }
    return {key: value for key, value in given.items() if value}


def _names(text: str, file: Path) -> list[str]:
    found = section(root_of(text, str(file)), UPSTREAMS)
    return [key.value for key, _ in found[1].value] if found and isinstance(found[1], MappingNode) else []
