"""The plan that puts Bascule in front of the servers a client has: one upstream each, and the client's file rewritten.

Nothing is written here (backups.py does), and nothing that may be secret leaves the plan but into files of its own.
"""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from gateway import config, setup
from gateway.clients import backups, jsonc, servers
from gateway.clients.backups import Change
from gateway.clients.folders import Grants, Grounds
from gateway.clients.jsonc import Document, Edit
from gateway.clients.places import Place, Surroundings
from gateway.clients.servers import Definition, Server
from gateway.clients.wording import Worded
from gateway.errors import ConfigError
from gateway.executors.packages.commands import read_command

SHADOW_DAYS = 14
"""How long what is adopted is only watched."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The configuration that adopts: as it stands, or as it would be made."""

    file: Path
    before: bytes | None = field(repr=False)
    text: str = field(repr=False)
    state: Path
    origin: str
    address: str
    port: int
    as_root: bool
    """It runs as root, and names no user for its servers."""

    @property
    def folder(self) -> Path:
        """What relative paths in it are relative to."""
        return self.file.parent


@dataclass(frozen=True, slots=True)
class Adopted:
    """A server that gets an upstream."""

    server: Server
    upstream: str
    new: bool
    """False: an upstream that is there already says the same."""
    said: Mapping[str, Any]
    """The upstream as bascule.yaml says it."""
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """A server that stays as it is, and why."""

    server: Server
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be written, and what would not."""

    gateway: Gateway
    changes: tuple[Change, ...]
    adopted: tuple[Adopted, ...]
    left: tuple[Left, ...]
    governed: int
    """Servers that reach Bascule already."""
    principals: Mapping[str, str]
    """The principal of each client whose file changes."""
    files: tuple[Place, ...]
    """The files that were read."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How the clients' files are to be written."""

    around: Surroundings
    today: date
    wrap: bool = False
    """`bascule wrap` also where the client takes addresses."""
    executable: tuple[str, ...] = ("bascule",)


def find_gateway(file: Path) -> Gateway:
    """The configuration at `file`, which need not be there yet."""
    before = backups.content_of(file)
    text = config.text_of(file) if before is not None else setup.fresh(file.parent)[0]
    settings = config.outline(file, text)
    listen = settings.listen
    host = "127.0.0.1" if listen.host in {"0.0.0.0", "::"} else listen.host  # noqa: S104 - it is written by others
    host = f"[{host}]" if ":" in host else host
    address = f"http://{host}:{listen.port}"
    as_root = os.geteuid() == 0 and settings.run_as is None
    return Gateway(file, before, text, settings.state, settings.audit.origin, address, listen.port, as_root)


def executable() -> tuple[str, ...]:
    """What a client starts to get Bascule: the installed command, else this Python with the package."""
    beside = Path(sys.executable).with_name("bascule")
    if beside.is_file():
        return (str(beside),)
    found = shutil.which("bascule")
    return (str(Path(found).absolute()),) if found else (sys.executable, "-m", "gateway")


def plan(places: Sequence[Place], gateway: Gateway, wish: Wish) -> Plan:
    """What adopting every server of these files would change. Raises ConfigError for one not to be touched."""
    adopting = _Adopting(gateway, wish)
    changes = [change for place in places if (change := adopting.file(place))]
    return Plan(
        gateway=gateway,
        # Secrets first, clients last: at every moment, what a client reaches is there.
        changes=(*adopting.own_changes(), *changes),
        adopted=tuple(adopting.adopted),
        left=tuple(adopting.left),
        governed=adopting.governed,
        principals={client: name for client, (name, _) in adopting.askers.items()},
        files=tuple(places),
    )


def adopt(made: Plan) -> list[Path]:
    """Write the plan, all of it or nothing; the paths of the backups beside the clients' files."""
    gateway = made.gateway
    if not made.changes:
        return []
    with backups.locked(gateway.state):
        backups.settle(gateway.state)
        if gateway.before is None:
            setup.furnish(gateway.folder, gateway.origin)
        return backups.write(gateway.state, made.changes)


def read_file(place: Place) -> tuple[bytes, Document]:
    """A client's file. Raises ConfigError where it cannot be read, is not UTF-8 or no JSON."""
    content = backups.content_of(place.path)
    if content is None:
        raise ConfigError("is not there", file=str(place.path))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", file=str(place.path)) from None
    return content, jsonc.read(text, str(place.path))


class _Adopting:
    """The plan while it is made."""

    def __init__(self, gateway: Gateway, wish: Wish) -> None:
        self.gateway, self.wish = gateway, wish
        self.made: dict[str, Any] = {}
        self.tokens: dict[str, str] = {}
        tree = config.read(gateway.text, str(gateway.file)).value
        self.upstreams: dict[str, Any] = dict(tree.get("upstreams") or tree.get("mcpServers") or {})
        self.digests = {name: said.get("token_sha256") for name, said in (tree.get("principals") or {}).items()}
        self.secrets: dict[Path, bytes] = {}
        self.askers: dict[str, tuple[str, str | None]] = {}
        self.adopted: list[Adopted] = []
        self.left: list[Left] = []
        self.governed = 0
        own = (gateway.file, gateway.state)
        self.grounds = Grounds(wish.around.home, own, gateway.as_root)

    def own_changes(self) -> Iterator[Change]:
        """The changes of Bascule's own files."""
        for path, content in self.secrets.items():
            before = backups.content_of(path)
            if before != content:
                yield Change(path, "secret", before, content)
        file = str(self.gateway.file)
        text = setup.with_upstreams(self.gateway.text, file, self.made)
        text = setup.with_principals(text, file, self.tokens)
        if text != self.gateway.text:
            config.outline(self.gateway.file, text)
            yield Change(self.gateway.file, "config", self.gateway.before, text.encode())

    def file(self, place: Place) -> Change | None:
        """The change of one client's file; None where nothing of it changes."""
        before, document = read_file(place)
        edits: list[Edit] = []
        entries: list[tuple[str, ...]] = []
        for server in servers.servers(document, place):
            if servers.governed(server.entry, self.gateway.port):
                self.governed += 1
                continue
            if (name := self._adopt(server)) is None:
                continue
            members = self._members(server, name)
            edits.append((server.entry.start, server.entry.end, servers.rewritten(document, server, members)))
            entries.append(server.within)
        after = jsonc.edited(document.text, edits).encode()
        return Change(place.path, "client", before, after, tuple(entries)) if edits else None

    def _adopt(self, server: Server) -> str | None:
        try:
            definition = servers.definition(server, self.wish.around.home, self.wish.around.environ)
            args = definition.args
            if definition.command:
                args = read_command(definition.command, definition.args).args
            grants = self.grounds.grants(args, {key: value.text for key, value in definition.env.items()})
            if grants.refused:
                path, why = grants.refused[0]
                raise ConfigError(f"{path} {why}")
            name, new = self._upstream(server, definition)
            said = self._said(name, definition, grants) if new else self.upstreams[name]
        except ConfigError as problem:
            self.left.append(Left(server, problem.problem))
            return None
        if new:
            self.made[name] = self.upstreams[name] = said
        self.adopted.append(Adopted(server, name, new, said, (*grants.hints, *_hints(definition))))
        return name

    def _upstream(self, server: Server, definition: Definition) -> tuple[str, bool]:
        """The upstream's name, and whether it has to be made."""
        plain = slug(server.name)
        client = server.place.client.name
        longer = f"{plain[: 39 - len(client)].rstrip('-_')}-{client}"
        names = (plain, longer, *(f"{longer[:36]}-{number}" for number in range(2, 1000)))
        for name in names:
            if name not in self.upstreams:
                return name, True
            if self._same(self.upstreams[name], definition):
                return name, False
        raise ConfigError("there are too many servers of that name")

    def _same(self, said: Any, definition: Definition) -> bool:
        if not isinstance(said, Mapping) or (said.get("command"), said.get("url")) != (
            definition.command,
            definition.url,
        ):
            return False
        wanted = {**definition.env, **definition.headers}
        there = {**(said.get("env") or {}), **(said.get("headers") or {})}
        return (
            tuple(said.get("args") or ()) == definition.args
            and there.keys() == wanted.keys()
            and all(self._means(there[key], worded) for key, worded in wanted.items())
        )

    def _means(self, said: Any, worded: Worded) -> bool:
        if isinstance(said, str):
            return said == worded.text and (not worded.literal or "${" not in said)
        source = said.get("_from") if isinstance(said, Mapping) else None
        name = source.get("file") if isinstance(source, Mapping) else None
        if not worded.literal or not isinstance(name, str):
            return False
        path = self.gateway.folder / Path(name).expanduser()
        content = self.secrets[path] if path in self.secrets else backups.content_of(path)
        return content is not None and content.rstrip(b"\r\n") == worded.text.encode()

    def _said(self, name: str, definition: Definition, grants: Grants) -> dict[str, Any]:
        """The upstream as bascule.yaml is going to say it. Secrets are kept only when it holds."""
        kept: dict[Path, bytes] = {}
        last_day = (self.wish.today + timedelta(days=SHADOW_DAYS)).isoformat()
        if definition.url:
            said: dict[str, Any] = {"url": definition.url}
            values = {"headers": definition.headers}
        else:
            said = {"command": definition.command, "args": list(definition.args)}
            values = {"env": definition.env}
        for key, worded in values.items():
            if worded:
                said[key] = {word: self._value(name, word, value, kept) for word, value in worded.items()}
        if grants.folders:
            said["folders"] = dict(grants.folders)
        said |= {"mode": "shadow", "until": last_day}
        setup.check_upstream(name, said)
        self.secrets |= kept
        return said

    def _value(self, name: str, word: str, value: Worded, kept: dict[Path, bytes]) -> Any:
        if not value.literal:
            return value.text
        path = self.gateway.state / "secrets" / f"{name}.{word}"
        kept[path] = value.text.encode()
        near = path.is_relative_to(self.gateway.folder)
        return {"_from": {"file": str(path.relative_to(self.gateway.folder) if near else path)}}

    def _members(self, server: Server, upstream: str) -> dict[str, Any]:
        """What the client's entry says from now on."""
        client = server.place.client
        if client.addresses and not self.wish.wrap:
            _, token = self._asker(server.place, token=True)
            typed = {"type": "http"} if client.typed else {}
            url = f"{self.gateway.address}/mcp/{upstream}"
            return {**typed, "url": url, "headers": {"Authorization": f"Bearer {token}"}}
        asker, _ = self._asker(server.place, token=False)
        command, *words = self.wish.executable
        words += ["wrap", "--name", upstream, "--as", asker, "--config", str(self.gateway.file)]
        typed = {"type": "stdio"} if server.entry.get("type") else {}
        return {**typed, "command": command, "args": words}

    def _asker(self, place: Place, *, token: bool) -> tuple[str, str | None]:
        """The principal of a client, and its token where one is needed; both are kept once they are there."""
        client = place.client.name
        known = self.askers.get(client)
        if known is None or (token and known[1] is None):
            known = self._known_asker(place)
            if known is None or (token and known[1] is None):
                known = (client, None) if client in self.digests and not token else self._new_asker(client)
            self.askers[client] = known
        return known

    def _known_asker(self, place: Place) -> tuple[str, str | None] | None:
        """Whom the client's files name already."""
        around = self.wish.around
        theirs = [other.path for other in (*around.user(), *around.project()) if other.client == place.client]
        wrapped = None
        for path in {place.path: None, **dict.fromkeys(theirs)}:
            for server in _readable(Place(path, place.client, "user")):
                if token := servers.token_of(server.entry):
                    digest = hashlib.sha256(token.encode()).hexdigest()
                    if name := next((name for name, known in self.digests.items() if known == digest), None):
                        return name, token
                if servers.governed(server.entry, None) and (name := servers.asker_of(server.entry)) in self.digests:
                    wrapped = wrapped or name
        return (wrapped, None) if wrapped else None

    def _new_asker(self, client: str) -> tuple[str, str]:
        names = (client, *(f"{client}-{number}" for number in range(2, 1000)))
        name = next(name for name in names if name not in self.digests)
        token = setup.new_token()
        self.tokens[name] = token
        self.digests[name] = hashlib.sha256(token.encode()).hexdigest()
        return name, token


def slug(name: str) -> str:
    """A name as an upstream may have it; the same name where it is one already."""
    word = re.sub(r"_{2,}", "_", re.sub(r"[^a-z0-9_-]+", "-", name.lower())).strip("-_")[:40].strip("-_")
    return f"{word or 'a'}-server" if word in {"", "bascule", "view"} else word


def _readable(place: Place) -> list[Server]:
    try:
        return servers.servers(read_file(place)[1], place)
    except ConfigError:
        return []


def _hints(definition: Definition) -> Iterator[str]:
    if definition.dropped:
        yield f"the gateway sets {', '.join(definition.dropped)} itself"
