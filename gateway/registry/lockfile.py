"""`bascule.lock`: the accepted and offered tool definitions of every upstream, as one file people review and commit.

Reading is strict (a wrong digest or an unknown key stops the start), writing is atomic.
"""

import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jiter
import orjson

from gateway.errors import ConfigError
from gateway.model import Digest, JsonObject, PinState
from gateway.registry import pins

VERSION = 1
_NOT_ASCII = re.compile("[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Version:
    """One definition of a tool, and since when it stands where it stands."""

    digest: Digest
    definition: JsonObject
    since: str
    """RFC 3339 in UTC."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one tool. `accepted` is in force; `offered` is what the upstream says where that differs."""

    state: PinState
    accepted: Version | None
    offered: Version | None
    listed: bool = True
    """Whether the upstream's last complete list held it."""

    def marked(self, *, listed: bool) -> "Entry":
        return self if self.listed is listed else replace(self, listed=listed)


Tools = Mapping[str, Entry]
Lock = Mapping[str, Tools]
"""By upstream, by tool. An upstream stands here once its first complete list was seen, be it empty."""


def load(path: Path) -> Lock:
    """What the file holds; empty where there is none.

    Raises:
        ConfigError: it is no such file, names the place.
    """
    try:
        data = jiter.from_json(path.read_bytes(), catch_duplicate_keys=True, allow_inf_nan=False)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except ValueError as error:
        raise ConfigError(f"not valid JSON: {error}", file=str(path)) from None
    return _Reader(str(path)).lock(data)


def dump(lock: Lock) -> bytes:
    """The file's bytes: sorted, indented, ASCII, so that a review sees every code point."""
    upstreams = {
        upstream: {"tools": {name: _entry(entry) for name, entry in tools.items()}} for upstream, tools in lock.items()
    }
    option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    text = orjson.dumps({"version": VERSION, "upstreams": upstreams}, option=option)
    if text.isascii():
        return text
    return _NOT_ASCII.sub(_escaped, text.decode()).encode()


def write(path: Path, lock: Lock) -> None:
    """Replace the file in one step that survives a crash: old or new, never half.

    Writes from several threads do not disturb each other; that the newest lock comes last is the caller's.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(dump(lock))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the rename itself is durable only with its directory
    finally:
        os.close(folder)


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


def _entry(entry: Entry) -> JsonObject:
    shape: JsonObject = {"state": entry.state.value, "listed": entry.listed}
    for key, version in (("accepted", entry.accepted), ("offered", entry.offered)):
        if version is not None:
            shape[key] = {"digest": version.digest, "definition": version.definition, "since": version.since}
    return shape


_HOLDS = {
    PinState.ACCEPTED: ({"accepted"},),
    PinState.WAITING: ({"offered"},),
    PinState.DRIFTED: ({"accepted", "offered"},),
    PinState.QUARANTINED: ({"accepted"}, {"offered"}, {"accepted", "offered"}),
}
"""Which versions a tool in a state may hold."""


class _Reader:
    """Reads strictly; every error names the file and the place in it."""

    def __init__(self, file: str) -> None:
        self._file = file

    def lock(self, data: object) -> Lock:
        top = self._object(data, "the file", required={"version", "upstreams"})
        if top["version"] != VERSION or isinstance(top["version"], bool):
            raise self._wrong("version", f"must be {VERSION}: a newer program wrote this file")
        upstreams = self._object(top["upstreams"], "upstreams")
        return {name: self._tools(tools, f"upstreams.{name}") for name, tools in upstreams.items()}

    def _tools(self, data: object, place: str) -> Tools:
        tools = self._object(self._object(data, place, required={"tools"})["tools"], f"{place}.tools")
        return {name: self._tool(name, tool, f"{place}.tools.{name}") for name, tool in tools.items()}

    def _tool(self, name: str, data: object, place: str) -> Entry:
        tool = self._object(data, place, required={"state", "listed"}, optional={"accepted", "offered"})
        try:
            state = PinState(tool["state"])
        except ValueError:
            raise self._wrong(f"{place}.state", f"must be one of {', '.join(PinState)}") from None
        if not isinstance(tool["listed"], bool):
            raise self._wrong(f"{place}.listed", "must be true or false")
        versions = {key: self._version(name, tool[key], f"{place}.{key}") for key in tool.keys() - {"state", "listed"}}
        if versions.keys() not in _HOLDS[state]:
            held = " and ".join(sorted(versions)) or "nothing"
            raise self._wrong(place, f"a tool that is {state} cannot hold {held}")
        return Entry(state, versions.get("accepted"), versions.get("offered"), tool["listed"])

    def _version(self, name: str, data: object, place: str) -> Version:
        version = self._object(data, place, required={"digest", "definition", "since"})
        definition = self._object(version["definition"], f"{place}.definition", free=True)
        if not isinstance(version["since"], str):
            raise self._wrong(f"{place}.since", "must be a time")
        if definition.get("name") != name:
            raise self._wrong(f"{place}.definition.name", f"must be {name}")
        try:
            digest = pins.digest(definition)
        except ValueError as error:
            raise self._wrong(f"{place}.definition", str(error)) from None
        if digest != version["digest"]:
            raise self._wrong(f"{place}.digest", "is not the digest of the definition beside it: the file was changed")
        return Version(digest, definition, version["since"])

    def _object(
        self,
        data: object,
        place: str,
        *,
        required: set[str] | None = None,
        optional: frozenset[str] | set[str] = frozenset(),
        free: bool = False,
    ) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise self._wrong(place, "must be an object")
        if free or required is None:
            return data
        if missing := sorted(required - data.keys()):
            raise self._wrong(place, f"lacks {missing[0]}")
        if unknown := sorted(data.keys() - required - optional):
            raise self._wrong(place, f"holds the unknown key {unknown[0]}")
        return data

    def _wrong(self, place: str, problem: str) -> ConfigError:
        return ConfigError(f"{place}: {problem}", file=self._file)
