"""A real server in a real sandbox that has nothing, and what it is found to need."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from gateway.executors.egress.destinations import Destination
from gateway.executors.egress.door import Door
from gateway.executors.egress.learning import Consent, Lesson, Question, Trial, kind_of, learn
from gateway.executors.egress.tried import named, traced
from gateway.executors.process import Child, Start
from tests.egress.held import NAME, SYSTEM, Held, certificate, held, tls_site
from tests.executors.doors import Names

pytestmark = pytest.mark.slow
PYTHON = "/usr/bin/python3"
SERVER = """
import sys, urllib.request
folder, port, silent = sys.argv[1:]
def attempt(do):
    try: do()
    except OSError as error: print('' if silent == 'yes' else error)
attempt(lambda: open(folder + '/in/a.txt').read())
attempt(lambda: open(folder + '/out/b.txt', 'a').close())
attempt(lambda: urllib.request.urlopen(f'https://site.example:{port}/', timeout=10))
"""


class Sandboxed:
    """Starts the server anew for each round, in what the round grants."""

    def __init__(self, argv: Sequence[str], chain: Path, tracing: bool) -> None:
        self.argv, self.chain, self.tracing = argv, chain, tracing
        self.running: Held | None = None
        self.stack = AsyncExitStack()

    async def start(self, trial: Trial) -> Child:
        binds = [
            part
            for folder, access in trial.folders.items()
            for part in (f"--{'ro-' * (access == 'ro')}bind", folder, folder)
        ]
        first = traced(Start(()), trial.trace).argv if self.tracing else ()
        env = {**trial.door.env, "SSL_CERT_FILE": str(self.chain)}
        binds += ["--ro-bind", str(self.chain), str(self.chain)]
        self.running = await self.stack.enter_async_context(held(self.argv, env, first, [*SYSTEM, *binds]))
        await trial.door.open(self.running.pid)
        return cast(Child, self)

    async def stop(self, grace_s: float) -> None:
        await self.stack.aclose()

    async def converse(self, child: Child) -> Sequence[str]:
        assert self.running is not None
        return [(await self.running.go())[1]]


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        made = Path(name)
        certificate(made)
        for part in ("in", "out"):
            (made / part).mkdir()
        (made / "in" / "a.txt").write_text("a")
        yield made


@pytest.fixture
async def port(folder: Path) -> AsyncIterator[int]:
    async with tls_site(folder / "site.pem", folder / "site.key") as number:
        yield number


@pytest.mark.skipif(not Path(PYTHON).exists(), reason="needs the system's Python")
@pytest.mark.parametrize("tracing", [False, True], ids=["by what it says", "by a trace, though it says nothing"])
async def test_what_a_server_needs_is_learnt_with_consent_and_nothing_else(
    tracing: bool, folder: Path, port: int
) -> None:
    if tracing and not shutil.which("strace"):
        pytest.skip("no strace here")
    argv = [PYTHON, "-c", SERVER, str(folder), str(port), "yes" if tracing else "no"]
    asked: list[str] = []

    async def consent(question: Question) -> Consent:
        asked.append(question.what)
        return Consent.NO if question.what == str(folder) else Consent.ALWAYS

    def make_door(allow: Iterable[Destination]) -> Door:
        return Door(allow, resolve=Names(site_example=["127.0.0.1"]))

    server = Sandboxed(argv, folder / "site.pem", tracing)
    lesson = Lesson([], {}, kind_of, str(Path.home()), [str(Path.cwd())])  # where bubblewrap itself comes from
    configured = named(argv[3:], {})
    learned = await learn(server.start, server.converse, consent, lesson, configured, make_door=make_door)
    assert learned.allow == (f"{NAME}:{port}", f"127.0.0.1:{port}")
    assert learned.folders == {f"{folder}/in": "ro", f"{folder}/out": "rw"}
    assert [question.what for question in learned.refused] == [str(folder)]
    assert (folder / "out" / "b.txt").exists()
