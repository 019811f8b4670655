"""What still goes past Bascule: every server of every client's file that is known or named.

Nothing is written, nothing is called, and nothing that may be secret is told.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.clients import adoption, servers
from gateway.clients.places import Place, Surroundings, exists
from gateway.clients.servers import Server
from gateway.clients.wording import looks_secret
from gateway.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Found:
    """A server of a client's file."""

    name: str
    client: str
    file: Path
    state: Literal["governed", "past", "past, disabled"]
    reaches: str
    """The upstream, or the program or host that is reached instead."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found."""

    servers: tuple[Found, ...]
    unreadable: tuple[tuple[Path, str], ...]
    looked: int
    """Files that were read."""

    @property
    def past(self) -> int:
        """How many servers go past Bascule."""
        return sum(found.state != "governed" for found in self.servers)


def scan(around: Surroundings, named: Sequence[Place], port: int | None) -> Scan:
    """Look at every file that is there, and at those that were named."""
    places = {os.path.realpath(place.path): place for place in reversed((*known(around), *named))}
    found: list[Found] = []
    unreadable: list[tuple[Path, str]] = []
    for place in sorted(places.values(), key=lambda place: str(place.path)):
        try:
            _, document = adoption.read_file(place)
            found += [_found(server, port) for server in servers.servers(document, place)]
        except ConfigError as problem:
            unreadable.append((place.path, problem.problem))
    return Scan(tuple(found), tuple(unreadable), len(places))


def known(around: Surroundings) -> list[Place]:
    """The files that are there: the user's, the project's, those of the projects a client knows, and plugins'."""
    places = [*around.user(), *around.project()]
    for place in around.user():
        for folder in _projects(place):
            places += Surroundings(around.home, folder, around.environ, around.platform).project()
    return [place for place in (*places, *around.plugins()) if exists(place.path)]


def _projects(place: Place) -> list[Path]:
    """The folders of the projects a client's file names."""
    try:
        root = adoption.read_file(place)[1].root
    except ConfigError:
        return []
    projects = root.get("projects")
    return [Path(name) for name in projects.members if name.startswith("/")] if projects else []


def _found(server: Server, port: int | None) -> Found:
    upstream = servers.governed(server.entry, port)
    past: Literal["past", "past, disabled"] = "past, disabled" if server.disabled else "past"
    place = server.place
    return Found(
        server.name, place.client.name, place.path, "governed" if upstream else past, upstream or _reaches(server)
    )


def _reaches(server: Server) -> str:
    """The program or the host, without arguments, paths and whatever else may be secret."""
    for key in ("command", "url", "serverUrl", "httpUrl"):
        value = server.entry.get(key)
        if value is None or not isinstance(value.plain, str):
            continue
        if key == "command":
            word = Path(value.plain.split()[0]).name if value.plain.split() else ""
            return "a command" if looks_secret(word) else word
        scheme, _, rest = value.plain.partition("://")
        host = rest.partition("/")[0].partition("?")[0].rpartition("@")[2]
        return f"{scheme}://{host}" if host and not looks_secret(host) else "an address"
    return "nothing that is known"
