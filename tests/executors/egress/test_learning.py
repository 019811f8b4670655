"""What a server needs, learnt round by round from one that exists only as a script."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, cast

import pytest

from gateway.errors import Failed
from gateway.executors.egress.contacts import Contacts, Verdict
from gateway.executors.egress.destinations import Destination, parse_allow, permits
from gateway.executors.egress.door import PRIVATE, UNLISTED, Door
from gateway.executors.egress.learning import ROUNDS, Consent, Learned, Lesson, Question, Trial, kind_of, learn
from gateway.executors.egress.tried import Tried
from gateway.executors.process import Child
from gateway.model import Code

FILES: dict[str, Literal["file", "folder"]] = {
    "/srv/docs": "folder",
    "/srv/docs/a.txt": "file",
    "/home/ada": "folder",
    "/home/ada/notes.db": "file",
    "/etc/passwd": "file",
    "/usr/share": "folder",
}


def look(path: str) -> Literal["file", "folder"] | None:
    return FILES.get(path)


class Scripted:
    """A server that contacts one host after the other, and asks for one file after the other."""

    def __init__(self, hosts: Sequence[str] = (), files: Sequence[str] = (), dies: bool = False) -> None:
        self.hosts = [parse_allow(text) for text in hosts]
        self.files = files
        self.dies = dies
        self.traces: Sequence[str] = ()
        self.rounds = 0
        self.stopped = 0
        self.trial: Trial | None = None

    async def start(self, trial: Trial) -> Child:
        self.rounds += 1
        self.trial = trial
        return cast(Child, self)

    async def stop(self, grace_s: float) -> None:
        self.stopped += 1

    async def converse(self, child: Child) -> Sequence[str]:
        assert self.trial is not None
        door = cast(Listening, self.trial.door)
        for host in self.hosts:
            if not permits(door.allow, host.host, host.port):
                door.contacts.note(host.host, host.port, Verdict.REFUSED, UNLISTED)
                break
        if self.traces:
            self.trial.trace.write_text("\n".join(self.traces))
        for path in self.files:
            if not any(path.startswith(folder) for folder in self.trial.folders):
                text = f"ENOENT: no such file or directory, open '{path}'"
                if self.dies:
                    raise Failed(Code.UPSTREAM_UNAVAILABLE, "it ended", detail=text)
                return [text]
        return []


class Listening(Door):
    """A door that listens nowhere."""

    def __init__(self, allow: Iterable[Destination]) -> None:
        super().__init__(allow)
        self.allow = tuple(allow)


async def taught(server: Scripted, answer: Callable[[Question], Consent], configured: Tried | None = None) -> Learned:
    async def consent(question: Question) -> Consent:
        return answer(question)

    lesson = Lesson([], {}, look, "/home/ada")
    learned = await learn(server.start, server.converse, consent, lesson, configured or {}, make_door=Listening)
    assert server.stopped == server.rounds
    return learned


async def test_the_host_behind_the_first_host_appears_once_the_first_is_open() -> None:
    server = Scripted(["api.example:443", "cdn.example:443", "log.example:443"])
    asked: list[str] = []

    def answer(question: Question) -> Consent:
        asked.append(question.what)
        return {"api": Consent.ALWAYS, "cdn": Consent.YES, "log": Consent.NO}[question.what[:3]]

    learned = await taught(server, answer)
    assert asked == ["api.example:443", "cdn.example:443", "log.example:443"]
    assert learned == Learned(
        ("api.example:443",), {}, (Question("host", "log.example:443", why="it was contacted"),), complete=True
    )
    assert server.rounds == 3


@pytest.mark.parametrize("dies", [False, True])
async def test_files_it_misses_are_asked_for_by_folder_also_where_it_dies_of_it(dies: bool) -> None:
    server = Scripted(files=["/srv/docs/a.txt", "/home/ada/notes.db", "/etc/passwd", "/nowhere/x"], dies=dies)
    learned = await taught(server, lambda _: Consent.ALWAYS)
    assert learned.folders == {"/srv/docs": "ro", "/home/ada/notes.db": "ro"}


async def test_files_a_tracer_saw_are_asked_for_although_nothing_was_said() -> None:
    server = Scripted()
    server.traces = ['7 openat(AT_FDCWD, "/srv/docs/a.txt", O_RDWR) = -1 ENOENT (No such file or directory)']
    assert (await taught(server, lambda _: Consent.ALWAYS)).folders == {"/srv/docs": "rw"}


async def test_nothing_is_opened_that_nobody_consented_to() -> None:
    server = Scripted(["api.example:443"], ["/srv/docs/a.txt"])
    learned = await taught(server, lambda _: Consent.NO)
    assert (learned.allow, learned.folders, server.rounds) == ((), {}, 1)
    assert [question.what for question in learned.refused] == ["api.example:443", "/srv/docs"]
    assert server.trial is not None
    assert cast(Listening, server.trial.door).allow == ()


async def test_what_is_named_in_the_settings_is_asked_first_and_only_once() -> None:
    server = Scripted(files=["/srv/docs/a.txt"])
    asked: list[Question] = []

    def answer(question: Question) -> Consent:
        asked.append(question)
        return Consent.NO

    await taught(server, answer, {"/srv/docs": "ro", "/usr/share": "ro", "/gone": "ro"})
    assert asked == [Question("folder", "/srv/docs", "ro", "it is named in its settings")]


async def test_a_server_that_always_wants_more_is_given_up_and_it_says_so() -> None:
    server = Scripted([f"h{number}.example:443" for number in range(ROUNDS + 5)])
    learned = await taught(server, lambda _: Consent.ALWAYS)
    assert (len(learned.allow), learned.complete, server.rounds) == (ROUNDS, False, ROUNDS)


def questions(note: Callable[[Contacts], None], said: Tried | None = None) -> list[Question]:
    contacts = Contacts()
    note(contacts)
    return Lesson([], {"/srv/docs": "ro"}, look, "/home/ada").questions(contacts.taken(), said or {}, {})


LINK_LOCAL = "leads to this private address, where clouds hand out the credentials of their machines"


@pytest.mark.parametrize(
    ("host", "reason", "address", "what", "why"),
    [
        ("api.example", UNLISTED, "", "api.example:443", "it was contacted"),
        ("10.0.0.5", UNLISTED, "", "10.0.0.5:443", "it was contacted; a private address"),
        ("::1", UNLISTED, "", "[::1]:443", "it was contacted; a private address"),
        ("a.example", PRIVATE, "10.0.0.5", "10.0.0.5:443", "a.example leads to this private address"),
        ("a.example", PRIVATE, "fe80::1%lo", "[fe80::1]:443", f"a.example {LINK_LOCAL}"),
    ],
)
def test_a_refused_contact_becomes_the_entry_that_would_open_it(
    host: str, reason: str, address: str, what: str, why: str
) -> None:
    [question] = questions(lambda contacts: contacts.note(host, 443, Verdict.REFUSED, reason, address))
    assert question == Question("host", what, why=why)
    assert str(parse_allow(question.what)) == what


@pytest.mark.parametrize(
    ("host", "verdict", "reason"),
    [
        ("", Verdict.REFUSED, "a request has one Host"),
        ("a.example", Verdict.FAILED, "no connection"),
        ("a.example", Verdict.REFUSED, "its TLS names b.example"),
    ],
)
def test_what_no_entry_would_open_is_not_asked(host: str, verdict: Verdict, reason: str) -> None:
    assert questions(lambda contacts: contacts.note(host, 443, verdict, reason)) == []


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"/srv/docs/a.txt": "ro"}, []),
        ({"/srv/docs/a.txt": "rw"}, [("/srv/docs", "rw")]),
        ({"/srv/docs/new.txt": "rw", "/srv/docs/a.txt": "ro"}, [("/srv/docs", "rw")]),
        ({"/home/ada/new.txt": "rw"}, []),
        ({"/": "ro"}, []),
    ],
)
def test_a_folder_is_asked_for_as_far_as_it_is_not_granted(said: Tried, asked: list[tuple[str, str]]) -> None:
    assert [(question.what, question.access) for question in questions(lambda _: None, said)] == asked


def test_the_host_s_files_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.touch()
    found = [kind_of(str(path)) for path in (tmp_path, file, file / "x", "/\0")]
    assert found == ["folder", "file", None, None]
