"""One entry of a client's file as a noun: what it starts or calls, and how it is written again.

Not what becomes of it (adoption.py). What an entry says that bascule.yaml cannot is a ConfigError whose problem a
person may read: it holds no value of the entry's environment or headers.
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.clients import jsonc
from gateway.clients.jsonc import Document, Value
from gateway.clients.places import Place
from gateway.clients.wording import Worded, Words, secret_at, secret_in_address
from gateway.errors import ConfigError
from gateway.values import RESERVED_HEADERS

_ADDRESS = ("url", "serverUrl", "httpUrl")
_KIND = ("type", "transport", "transportType")
TRANSPORT = frozenset({*_ADDRESS, *_KIND, "command", "args", "env", "headers", "sandbox", "sandboxEnabled", "dev"})
"""What is written anew; every other key of an entry (`disabled`, `timeout`, `alwaysAllow` …) stays as it is."""
_NOT_CARRIED = {
    "cwd": "it starts in a folder of its own (cwd), and a confined server has its own: write its paths absolute",
    "envFile": "it reads variables from a file (envFile): write those it needs into env",
    "auth": "it logs in as a client of its own (auth): `auth: oauth` in bascule.yaml does it for Bascule",
    "oauth": "it logs in as a client of its own (oauth): `auth: oauth` in bascule.yaml does it for Bascule",
    "headersHelper": "a program makes its headers (headersHelper): write them into headers",
}
_OLD = "it speaks the older SSE transport, which is not served: use its streamable HTTP address if it has one"


@dataclass(frozen=True, slots=True)
class Server:
    """An entry of a client's file."""

    name: str
    place: Place
    entry: Value
    within: tuple[str, ...]
    """The keys that lead to it."""

    @property
    def disabled(self) -> bool:
        """Whether the client does not start it now."""
        switch, on = self.entry.get("disabled"), self.entry.get("enabled")
        return bool(switch and switch.plain is True) or bool(on and on.plain is False)


@dataclass(frozen=True, slots=True)
class Definition:
    """What an entry starts, or what it calls."""

    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, Worded] = field(default_factory=dict)
    url: str | None = None
    headers: Mapping[str, Worded] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    """Headers the gateway sets itself."""


def servers(document: Document, place: Place) -> list[Server]:
    """Every entry of the file, in its order. Raises ConfigError where the file has not the shape of one."""
    root = document.root
    if root.kind != "object":
        raise _shape(document, place, root, "should be an object with mcpServers (or servers)")
    found = []
    for within, entries in _maps(root, place):
        if entries.kind != "object":
            raise _shape(document, place, entries, f"{'.'.join(within)} should be an object of servers")
        found += [Server(key, place, member.value, (*within, key)) for key, member in entries.members.items()]
    if place.scope == "named" and not any(_maps(root, place)):
        raise _shape(document, place, root, "has neither mcpServers nor servers: no file of a client that is known")
    return found


def _maps(root: Value, place: Place) -> Iterator[tuple[tuple[str, ...], Value]]:
    for word in ("mcpServers", "servers"):
        if entries := root.get(word):
            yield (word,), entries
    if (projects := root.get("projects")) and projects.kind == "object":
        for name, member in projects.members.items():
            if entries := member.value.get("mcpServers"):
                yield ("projects", name, "mcpServers"), entries
    if place.scope != "plugin" or root.get("mcpServers"):
        return
    if (server := root.get("server")) and (start := server.get("mcp_config")):
        # An extension of Claude Desktop: one server, started as its manifest says.
        given = root.get("name")
        key = str(given.plain) if given else place.path.parent.name
        yield (), Value("object", start.start, start.end, members={key: jsonc.Member(key, start.start, start)})
    elif place.path.name == ".mcp.json":
        yield (), root


def _shape(document: Document, place: Place, value: Value, problem: str) -> ConfigError:
    line = document.text.count("\n", 0, value.start) + 1
    return ConfigError(problem, file=str(place.path), line=line)


def governed(entry: Value, port: int | None) -> str | None:
    """The upstream that an entry reaches through Bascule; None where it goes past.

    An address counts with the port of the gateway, or with one of our tokens.
    """
    plain = entry.data() if entry.kind == "object" else {}
    args = plain.get("args")
    if isinstance(args, list) and all(isinstance(arg, str) for arg in args) and "wrap" in args[:3]:
        ours = Path(str(plain.get("command"))).name == "bascule" and args[0] == "wrap"
        if not ours and args[:3] != ["-m", "gateway", "wrap"]:
            return None
        return _after(args, "--name") or "wrap"
    try:
        parts = urlsplit(str(plain.get("url", "")))
        known = (port is not None and parts.port == port) or token_of(entry) is not None
        local = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return None
    match = re.fullmatch(r"/mcp(?:/(.+))?", parts.path)
    return (match[1] or "mcp") if match and local and known else None


def token_of(entry: Value) -> str | None:
    """Our token in an entry."""
    headers = entry.get("headers")
    for member in headers.members.values() if headers else ():
        if member.key.lower() == "authorization" and isinstance(member.value.plain, str):
            match = re.fullmatch(r"Bearer (bascule_[A-Za-z0-9_-]+)", member.value.plain)
            return match[1] if match else None
    return None


def asker_of(entry: Value) -> str | None:
    """The principal that an entry of ours names, where it starts `bascule wrap`."""
    args = entry.get("args")
    return _after([item.plain for item in args.items], "--as") if args else None


def _after(words: list[Any], option: str) -> str | None:
    at = words.index(option) + 1 if option in words else len(words)
    return str(words[at]) if at < len(words) else None


def definition(server: Server, home: Path, environ: Mapping[str, str]) -> Definition:
    """What the entry says. Raises ConfigError where bascule.yaml could not say the same."""
    entry = server.entry
    if entry.kind != "object":
        raise ConfigError("it is not an object")
    for key, why in _NOT_CARRIED.items():
        if entry.get(key):
            raise ConfigError(why)
    words = Words(server.place.client, home, environ)
    addresses = [key for key in _ADDRESS if entry.get(key)]
    command = entry.get("command")
    if bool(command) == bool(addresses):
        raise ConfigError("it should have a command or a url, one of the two")
    if command:
        return _started(entry, words)
    return _called(entry, addresses[0], words)


def _started(entry: Value, words: Words) -> Definition:
    items = entry.get("args")
    if items and items.kind != "array":
        raise ConfigError("args should be a list of texts")
    command = words.plain("command", _text("command", entry.get("command")))
    args = tuple(words.plain("args", _text("args", item)) for item in (items.items if items else ()))
    if (at := secret_at(args)) is not None:
        raise ConfigError(f"argument {at + 1} looks like a secret, and arguments are seen by everybody: pass it in env")
    env = {key: words.worded(key, text) for key, text in _pairs(entry, "env")}
    return Definition(command, args, env)


def _called(entry: Value, key: str, words: Words) -> Definition:
    url = words.plain("url", _text(key, entry.get(key)))
    kind = next((value for name in _KIND if (value := entry.get(name))), None)
    if (kind and kind.plain in {"sse", "ws"}) or (not kind and urlsplit(url).path.endswith("/sse")):
        raise ConfigError(_OLD)
    if secret_in_address(url):
        raise ConfigError("its address looks as if it held a secret, and addresses are logged: pass it in headers")
    headers, dropped = {}, []
    for name, text in _pairs(entry, "headers"):
        if name.lower() in RESERVED_HEADERS or name.lower().startswith("mcp-"):
            dropped.append(name)
        elif not re.fullmatch(r"[\x20-\x7e\t]*", text):
            raise ConfigError(f"{name} holds a character that no header may hold")
        else:
            headers[name] = words.worded(name, text)
    return Definition(url=url, headers=headers, dropped=tuple(dropped))


def _text(key: str, value: Value | None) -> str:
    if value is None or not isinstance(value.plain, str):
        raise ConfigError(f"{key} should be text")
    return value.plain


def _pairs(entry: Value, key: str) -> Iterator[tuple[str, str]]:
    given = entry.get(key)
    if given and given.kind != "object" and (given.kind, given.plain) != ("word", None):
        raise ConfigError(f"{key} should be an object of texts")
    for name, member in given.members.items() if given else ():
        match member.value.plain:
            case str(text):
                yield name, text
            case bool(switch):
                yield name, "true" if switch else "false"
            case float(number):
                yield name, f"{number:.15g}"
            case _ if member.value.kind in {"object", "array"}:
                raise ConfigError(f"{key}.{name} should be text")


def rewritten(document: Document, server: Server, members: Mapping[str, Any]) -> str:
    """The entry with `members` for its transport: what else it says, and its comments, as they stand."""
    text, entry = document.text, server.entry
    kept = [member for key, member in entry.members.items() if key not in TRANSPORT and key not in members]
    spans = [(member.start, member.value.end) for member in kept]
    comments = [
        text[start:end]
        for start, end in document.comments
        if entry.start < start < entry.end and not any(first <= start < last for first, last in spans)
    ]
    pairs = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in members.items()]
    pairs += [text[start:end] for start, end in spans]
    if "\n" not in text[entry.start : entry.end] and not any(comment.startswith("//") for comment in comments):
        return "{" + " ".join([*comments, ", ".join(pairs)]) + "}"
    newline = "\r\n" if "\r\n" in text else "\n"
    outer = _indent(text, entry.start)
    first = next(iter(entry.members.values()), None)
    inner = _indent(text, first.start) if first else outer + "  "
    if len(inner) <= len(outer):
        inner = outer + "  "
    lines = [f"{inner}{comment}" for comment in comments] + [f"{inner}{pair}," for pair in pairs[:-1]]
    return newline.join(["{", *lines, f"{inner}{pairs[-1]}", f"{outer}}}"])


def _indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]
