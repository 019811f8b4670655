"""An upstream that breaks, lies or floods: each call ends in one honest result and one settled record, and the
gateway goes on serving."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from gateway.model import Code, Ending, JsonObject
from gateway.storage.database import RunRow
from gateway.storage.sqlite import SqliteReader
from tests import nouns
from tests.attacks.clients import Client, client, decision
from tests.executors import hostile
from tests.executors.hostile import DONE, MEGABYTE, SSE, Answer, Seen, Upstream, always, chunked, cut, http
from tests.serving import Folder, Served, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARKER = "token-of-the-upstream at 10.0.0.7"
SAID = DONE.replace("done", MARKER)
MEASURE: JsonObject = {
    "name": "measure",
    "inputSchema": {"type": "object"},
    "outputSchema": {"type": "object", "properties": {"length": {"type": "integer"}}, "required": ["length"]},
}
ARGUMENTS = {"path": "notes/a.md", "text": "x"}


def listing(seen: Seen) -> bytes:
    return hostile.result(seen, {"resultType": "complete", "tools": [nouns.WRITE_NOTE, MEASURE]})


def marked(seen: Seen) -> bytes:
    return hostile.text(seen, MARKER)


def leaks(seen: Seen) -> bytes:
    return hostile.error(seen, -32000, f"login failed: {MARKER}", data={"trace": MARKER})


def structured(value: Any) -> Answer:
    return hostile.value({"resultType": "complete", "content": [], "structuredContent": value})


HOSTILE: dict[str, tuple[Answer, Code, Ending]] = {
    "dies before it answers": (always(lambda seen: None), Code.UPSTREAM_UNAVAILABLE, Ending.UNKNOWN),
    "dies in the headers": (
        always(lambda seen: cut(f"HTTP/1.1 200 OK\r\nx: {MARKER}".encode())),
        Code.UPSTREAM_UNAVAILABLE,
        Ending.UNKNOWN,
    ),
    "dies in the body": (always(lambda seen: cut(marked(seen)[:-5])), Code.UPSTREAM_UNAVAILABLE, Ending.UNKNOWN),
    "answers twice": (always(hostile.stream(SAID, SAID)), Code.UPSTREAM_INVALID, Ending.UNKNOWN),
    "answers another id": (hostile.raw(SAID.replace("ID", '"other"')), Code.UPSTREAM_INVALID, Ending.UNKNOWN),
    "sends invalid JSON": (hostile.raw(f'{{"jsonrpc": {MARKER}'), Code.UPSTREAM_INVALID, Ending.UNKNOWN),
    "sends a key twice": (hostile.raw(SAID.replace('"id"', '"id":7,"id"')), Code.UPSTREAM_INVALID, Ending.UNKNOWN),
    "sends HTML": (
        always(lambda seen: http(200, f"<b>{MARKER}".encode(), "text/html")),
        Code.UPSTREAM_INVALID,
        Ending.UNKNOWN,
    ),
    "redirects": (
        always(lambda seen: http(302, MARKER.encode(), location=f"{seen.upstream.url}/elsewhere")),
        Code.UPSTREAM_INVALID,
        Ending.UNKNOWN,
    ),
    "answers with an error that tells secrets": (always(leaks), Code.UPSTREAM_INVALID, Ending.FAILED),
    "fails with secrets in its page": (
        always(lambda seen: http(500, MARKER.encode(), "text/plain")),
        Code.UPSTREAM_UNAVAILABLE,
        Ending.UNKNOWN,
    ),
    "refuses our credentials": (
        always(lambda seen: http(401, MARKER.encode(), www_authenticate=f'Bearer realm="{MARKER}"')),
        Code.UPSTREAM_UNAVAILABLE,
        Ending.FAILED,
    ),
}


@dataclass(slots=True)
class Scene:
    """A gateway before an upstream that does what the test says."""

    served: Served
    reached: Upstream
    talking: Client
    folder: Folder

    async def call(self, answer: Answer, tool: str = "write_note") -> JsonObject:
        """One call that the upstream answers so."""
        self.reached.on["tools/call"] = answer
        result: JsonObject = await self.talking.call(tool, ARGUMENTS)
        return result

    def row(self, run: str) -> RunRow:
        found: RunRow = self._read(lambda reader: reader.run(run))
        return found

    def ending(self, run: str) -> JsonObject:
        """The settled record."""
        record = self._read(lambda reader: reader.leaf(self.row(run).settled))
        leaf: JsonObject = orjson.loads(record)
        return leaf

    def _read(self, wanted: Callable[[Any], Any]) -> Any:
        reader = SqliteReader(self.folder.state / "bascule.db")
        try:
            return wanted(reader)
        finally:
            reader.close()

    def peak_mb(self) -> int:
        """The most memory the gateway's process ever had."""
        lines = Path(f"/proc/{self.served.process.pid}/status").read_text().splitlines()
        (peak,) = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        return peak // 1024

    def check(self, result: JsonObject, code: Code, ending: Ending) -> None:
        """The result is honest and tells nothing of the upstream's, and the record says the same."""
        assert result["isError"] is True
        assert decision(result)["code"] == code, result
        assert MARKER not in str(result)
        assert "10.0.0.7" not in str(result)
        run = decision(result)["run"]
        settled = self.ending(run)
        assert (settled["kind"], settled["ending"], settled["code"]) == ("call.settled", ending, code)
        row = self.row(run)
        assert (row.state, row.ending) == ("frozen" if ending is Ending.UNKNOWN else "ended", ending)

    async def serves(self) -> None:
        """The next call is not the worse for it."""
        result = await self.call(always(hostile.text))
        assert decision(result)["effect"] == "allow", result
        assert result["content"][0]["text"] == "done"


async def scene(folder: Path, more: str = "") -> AsyncIterator[Scene]:
    on = hostile.modern() | {"tools/list": always(listing)}
    async with hostile.upstream(on) as reached:
        own = Folder(folder / "gateway", {"kept": {"url": reached.url}}, more=more)
        async with serving(own) as served, client(served.url("kept")) as talking:
            yield Scene(served, reached, talking, own)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def before(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async for made in scene(tmp_path_factory.mktemp("faults")):
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def impatient(tmp_path: Path) -> AsyncIterator[Scene]:
    """Calls end after a second."""
    async for made in scene(tmp_path, "limits: {call_s: 1}\n"):
        yield made


@pytest.mark.promise("every-ending-is-recorded", "fault.upstream")
@pytest.mark.parametrize("what", HOSTILE)
async def test_an_upstream_that(before: Scene, what: str) -> None:
    answer, code, ending = HOSTILE[what]
    calls = len(before.reached.of("tools/call"))
    before.check(await before.call(answer), code, ending)
    assert len(before.reached.of("tools/call")) == calls + 1, "the call was repeated"
    assert before.reached.of("GET") == [], "a redirect was followed"
    await before.serves()


@pytest.mark.promise("fault.upstream")
async def test_a_result_that_the_tools_own_schema_refuses_stays_here(before: Scene) -> None:
    result = await before.call(structured({"length": MARKER}), "measure")
    before.check(result, Code.UPSTREAM_INVALID, Ending.FAILED)
    fits = await before.call(structured({"length": 3}), "measure")
    assert fits["structuredContent"] == {"length": 3}
    await before.serves()


@pytest.mark.promise("every-ending-is-recorded", "fault.upstream")
async def test_an_answer_however_deep_does_not_erase_its_own_record(before: Scene) -> None:
    """As deep as the parser reads, and deeper."""
    said = '{"jsonrpc":"2.0","id":ID,"result":{"resultType":"complete","content":[],"structuredContent":{"a":%s}}}'
    read = await before.call(hostile.raw(said % ("[" * 190 + "]" * 190)))
    assert decision(read)["effect"] == "allow"
    assert before.ending(decision(read)["run"])["ending"] == Ending.DONE
    for levels in (250, 100_000):
        unread = await before.call(hostile.raw(said % ("[" * levels + "]" * levels)))
        before.check(unread, Code.UPSTREAM_INVALID, Ending.UNKNOWN)
    await before.serves()


@pytest.mark.promise("fault.upstream")
async def test_an_upstream_that_never_answers_is_waited_for_as_long_as_the_limit_says(impatient: Scene) -> None:
    impatient.check(await impatient.call(hostile.never()), Code.UPSTREAM_TIMEOUT, Ending.UNKNOWN)
    begun = f"HTTP/1.1 200 OK\r\ncontent-type: {SSE}\r\n\r\ndata: {MARKER}".encode()
    impatient.check(await impatient.call(hostile.never(begun)), Code.UPSTREAM_TIMEOUT, Ending.UNKNOWN)
    await impatient.serves()


@pytest.mark.promise("fault.memory")
async def test_answers_of_100_mb_are_withheld_and_cost_little_memory(before: Scene) -> None:
    begun = f'{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{MARKER}'.encode()
    for flood in (chunked(begun, *[MEGABYTE] * 100), chunked(b"data: ", *[MEGABYTE] * 100, kind=SSE)):
        before.reached.sent = 0
        before.check(await before.call(flood), Code.RESULT_WITHHELD, Ending.WITHHELD)
        assert 10 * 2**20 < before.reached.sent < 40 * 2**20, "it reads what it may, and no more"
    assert before.peak_mb() < 250
    await before.serves()


@pytest.mark.promise("fault.upstream")
async def test_an_upstream_that_dies_takes_only_its_own_call_with_it(before: Scene) -> None:
    """Twelve calls at once, every third of which the upstream breaks off."""
    numbers = iter(range(1000))
    before.reached.on["tools/call"] = always(lambda seen: None if next(numbers) % 3 == 0 else hostile.text(seen))
    results = await asyncio.gather(*(before.talking.call("write_note", ARGUMENTS) for _ in range(12)))
    lost = [result for result in results if result.get("isError")]
    assert len(lost) == 4
    for result in lost:
        before.check(result, Code.UPSTREAM_UNAVAILABLE, Ending.UNKNOWN)
    assert len(results) - len(lost) == 8
    await before.serves()
