"""What a server needs: it runs with everything refused, and a person says, one by one, what it may have.

Each round starts the server anew under what was consented to so far, holds a real conversation with it, and asks about
what it then tried; so the host behind the first host appears in the second round. It ends when a round brings nothing
new. Nothing is granted here that was not asked about and answered with yes.
"""

import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Literal

from gateway.errors import Failed
from gateway.executors.egress.contacts import Contact, Verdict
from gateway.executors.egress.destinations import Destination, entry, is_address, is_public, parse_allow
from gateway.executors.egress.door import PRIVATE, UNLISTED, Door
from gateway.executors.egress.tried import INSIDE, SYSTEM, Access, Tried, covers, folder_of, read_texts, read_trace
from gateway.executors.process import Child

ROUNDS = 12
LINES = 200_000
"""Of one trace that are read: a server may ask for ever."""
GRACE_SECONDS = 2.0


KindOf = Callable[[str], Literal["file", "folder"] | None]


class Consent(StrEnum):
    """A person's answer. YES opens it for the rest of this run, so that what comes behind it shows; ALWAYS also writes
    it."""

    NO = "no"
    YES = "yes"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Question:
    """One thing the server asked for and did not get."""

    kind: Literal["host", "folder"]
    what: str
    """As it would be written: `api.example:443`, `/srv/docs`."""
    access: Access = "ro"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Learned:
    """What to write into the upstream's settings, and what was asked for and stays refused."""

    allow: tuple[str, ...] = ()
    folders: Mapping[str, Access] = field(default_factory=dict)
    refused: tuple[Question, ...] = ()
    complete: bool = True
    """False: it still tried something new when the rounds were used up."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one round starts the server with. `trace`: where a tracer may write (`tried.traced`)."""

    door: Door
    folders: Mapping[str, Access]
    trace: Path


class Lesson:
    """What is known so far. Pure but for `kind_of`, which looks at the host's files."""

    def __init__(
        self,
        allow: Iterable[Destination],
        folders: Mapping[str, Access],
        kind_of: KindOf,
        home: str,
        inside: Iterable[str] = (),
    ) -> None:
        """`inside` are further paths that a server has anyway: what its program is made of."""
        self.allow = list(allow)
        self.folders = dict(folders)
        self._kind_of, self._home = kind_of, home
        self._inside = (*INSIDE, *inside)
        self._asked: set[tuple[str, str, Access]] = set()
        self._always: list[Question] = []
        self._refused: list[Question] = []

    def questions(self, contacts: Iterable[Contact], said: Tried, configured: Tried) -> list[Question]:
        """What has not been asked yet, each once."""
        asked = [question for contact in contacts if (question := _host(contact)) is not None]
        asked += self._folders(configured, SYSTEM, "it is named in its settings")
        asked += self._folders(said, self._inside, "it was asked for and is not there")
        new = []
        for question in asked:
            if (key := (question.kind, question.what, question.access)) not in self._asked:
                self._asked.add(key)
                new.append(question)
        return new

    def answer(self, question: Question, consent: Consent) -> bool:
        """Take an answer; whether it opened anything."""
        if consent is Consent.NO:
            self._refused.append(question)
            return False
        if consent is Consent.ALWAYS:
            self._always.append(question)
        if question.kind == "host":
            self.allow.append(parse_allow(question.what))
        else:
            self.folders[question.what] = question.access
        return True

    def learned(self, *, complete: bool) -> Learned:
        """What to write."""
        hosts = [question.what for question in self._always if question.kind == "host"]
        folders = {question.what: question.access for question in self._always if question.kind == "folder"}
        return Learned(tuple(dict.fromkeys(hosts)), folders, tuple(self._refused), complete)

    def _folders(self, tried: Tried, own: Sequence[str], why: str) -> list[Question]:
        """One question per folder, for as much as any file in it needs."""
        wanted: dict[str, Access] = {}
        for path, access in sorted(tried.items()):
            if path == "/" or any(covers(inside, path) for inside in own):
                continue
            folder = self._granted_as(path)
            if folder is None or self._has(folder, access):
                continue
            wanted[folder] = "rw" if "rw" in {access, wanted.get(folder)} else "ro"
        return [Question("folder", folder, access, why) for folder, access in wanted.items()]

    def _granted_as(self, path: str) -> str | None:
        """The folder to ask about; None for what the host does not have either. What is to be made needs the folder it
        is to be made in."""
        match self._kind_of(path):
            case "folder":
                return path
            case "file":
                return folder_of(path, self._home)
            case None:
                parent = path.rpartition("/")[0]
                return parent if self._kind_of(parent) == "folder" and folder_of(path, self._home) == parent else None

    def _has(self, folder: str, access: Access) -> bool:
        return any(covers(known, folder) and has in {access, "rw"} for known, has in self.folders.items())


def kind_of(path: str) -> Literal["file", "folder"] | None:
    """What the host has there."""
    try:
        if Path(path).is_dir():
            return "folder"
        return "file" if Path(path).exists() else None
    except (OSError, ValueError):
        return None


def _host(contact: Contact) -> Question | None:
    if contact.verdict is not Verdict.REFUSED or not contact.host:
        return None
    if contact.reason == UNLISTED:
        private = is_address(contact.host) and not is_public(contact.host)
        why = "it was contacted; a private address" if private else "it was contacted"
        return Question("host", entry(contact.host, contact.port), why=why)
    if contact.reason == PRIVATE:
        address = contact.address.partition("%")[0]
        why = f"{contact.host} leads to this private address"
        if ip_address(address).is_link_local:
            why += ", where clouds hand out the credentials of their machines"
        return Question("host", entry(address, contact.port), why=why)
    return None


async def learn(
    start: Callable[[Trial], Awaitable[Child]],
    converse: Callable[[Child], Awaitable[Sequence[str]]],
    consent: Callable[[Question], Awaitable[Consent]],
    lesson: Lesson,
    configured: Tried,
    *,
    make_door: Callable[[Iterable[Destination]], Door] = Door,
) -> Learned:
    """Run the server round by round. `start` confines it to the trial's folders and opens the trial's door in its
    sandbox; `converse` lists its tools, calls those a person named, and gives back what it said of errors, its stderr
    included. `configured`: `tried.named` of its settings, without the program itself."""
    for _ in range(ROUNDS):
        contacts, said = await _round(start, converse, lesson, make_door)
        opened = False
        for question in lesson.questions(contacts, said, configured):
            opened = lesson.answer(question, await consent(question)) or opened
        if not opened:
            return lesson.learned(complete=True)
    return lesson.learned(complete=False)


async def _round(
    start: Callable[[Trial], Awaitable[Child]],
    converse: Callable[[Child], Awaitable[Sequence[str]]],
    lesson: Lesson,
    make_door: Callable[[Iterable[Destination]], Door],
) -> tuple[list[Contact], Tried]:
    with tempfile.TemporaryDirectory(prefix="bascule-learn-") as folder:
        trial = Trial(make_door(lesson.allow), dict(lesson.folders), Path(folder) / "trace")
        try:
            child = await start(trial)
            try:
                texts = await converse(child)
            except Failed as failed:  # for want of what it did not get, most likely
                texts = [failed.detail]
            finally:
                await child.stop(GRACE_SECONDS)
        finally:
            await trial.door.close()
        return trial.door.taken(), {**read_texts(texts), **_read(trial.trace)}


def _read(trace: Path) -> Tried:
    if not trace.exists():
        return {}
    with trace.open(errors="surrogateescape") as lines:
        return read_trace(islice(lines, LINES))
