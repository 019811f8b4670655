"""The engine outside before a real OPA server: the same answers as in process, and our bundle or none."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pyreqwest.client import ClientBuilder

from gateway.errors import Refused
from gateway.kinds import Listed
from gateway.model import Check, Code, Facts, JsonObject, Manifest, Outcome, Point, Principal, Proposal, TypedValue
from gateway.policy import Pdp, bundle, canaries, inputs, opabundle, testing
from gateway.policy import folder as testing_folder
from gateway.policy.bundle import Bundle
from gateway.policy.decide import decide, hidden
from gateway.policy.opa import Opa
from gateway.policy.regorus import Regorus
from tests import nouns
from tests.path import POLICY, data_path
from tests.policy.opa_policies import EVERYTHING, NAMED, NEGATED, NEWER, STRICT
from tests.serving import ROOT, Folder, process, serving

pytestmark = pytest.mark.slow

LONG = 20.0
"""A time-out for a machine that is busy."""
TRIES = 400


def binary() -> str:
    found = os.environ.get("BASCULE_OPA") or shutil.which("opa")
    if not found or not Path(found).is_file():
        pytest.fail(f"no opa binary at {found}: `make test-all` builds it, or name it in BASCULE_OPA")
    return found


def written(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(slots=True)
class Running:
    """An OPA server."""

    url: str
    child: asyncio.subprocess.Process

    async def kill(self) -> None:
        self.child.kill()
        await self.child.wait()


def command(port: int, *tarballs: Path) -> list[str]:
    bundles = [word for tarball in tarballs for word in ("--bundle", str(tarball))]
    quiet = ["--skip-version-check", "--log-level", "error"]
    return [binary(), "run", "--server", "--addr", f"127.0.0.1:{port}", *quiet, *bundles]


@asynccontextmanager
async def opa_server(served: Bundle, folder: Path, port: int) -> AsyncIterator[Running]:
    """`opa run --server --bundle FILE`, as an operator would."""
    tarball = folder / "bundle.tar.gz"
    tarball.write_bytes(opabundle.tarball(served))
    log = folder / "opa.log"
    with log.open("wb") as said:
        async with process(command(port, tarball), stdout=said, stderr=said) as child:
            await _listening(child, port, log)
            yield Running(f"http://127.0.0.1:{port}", child)


async def _listening(child: asyncio.subprocess.Process, port: int, log: Path) -> None:
    for _ in range(TRIES):  # nothing of it tells that it listens
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert child.returncode is None, f"opa ended: {log}"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


@asynccontextmanager
async def both(place: Path, folder: Path, port: int) -> AsyncIterator[tuple[Regorus, Opa]]:
    """The same policies in either engine."""
    loaded = bundle.load(place)
    async with opa_server(loaded, folder, port) as server:
        opa = Opa(loaded, server.url, timeout_s=LONG)
        try:
            yield Regorus(loaded), opa
        finally:
            await opa.close()


async def answer(pdp: Pdp, point: Point, document: JsonObject) -> Any:
    """All that a decision says; the code where there is none."""
    try:
        if point is Point.LIST:
            return await hidden(pdp, document)
        made = await decide(pdp, point, document, id="d-1")
    except Refused as refused:
        return refused.code
    return (made.effect, made.code, made.reasons, made.would_pass, made.obligations, made.bundle, made.input)


PRINCIPALS = (
    Principal("agent", roles=("dev",)),
    Principal("ann", tenant="acme", person="ann@example.org", chain=("a", "b")),
    Principal("", tenant='"\\\u2028é'),
    Principal("bascule:canary", roles=("dev",)),
)
MANIFESTS = (
    Manifest(effects=("read",), reversal="none", trust="trusted"),
    Manifest(effects=("write",), reversal="undo", inferred=True),
    Manifest(effects=("delete", "egress"), destinations=("example.org",), labels=("pii",)),
    Manifest(),
)
ARGUMENTS: tuple[JsonObject, ...] = (
    {"path": "notes/a.md", "text": "hello"},
    {"path": "/etc/passwd", "n": 2**64 - 1, "m": -(2**63), "beyond": 2**70, "f": 0.1, "e": 1e300},
    {"path": "x" * 21, "deep": {"": [None, True, [[]], {"é": "\x00\U0001f600"}]}},
    {"path": 7},
    {"text": "x" * 70_000},
    {},
)
FACTS = (
    Facts("2026-11-22T12:00:00Z"),
    Facts("2026-11-22T12:00:00Z", labels=("untrusted", "pii"), writes=2**53, sources=("web",), task_runs=3),
)
CHECKS = ((), (Check("hidden_text", "fail", 100, 7), Check("secrets", "fail")))


def proposals() -> Iterator[tuple[Proposal, Facts]]:
    for principal, manifest, arguments, facts, checks in product(PRINCIPALS, MANIFESTS, ARGUMENTS, FACTS, CHECKS):
        name = "read_note" if "read" in manifest.effects else "write_note"
        path: object = arguments.get("path")
        typed = {}
        if isinstance(path, str):
            normal = f"/notes/shared/{path}" if facts.writes else path
            typed["/path"] = TypedValue("path", normal, {"inside": "/srv"}, "intent")
        call = nouns.call(name, principal=principal, arguments=arguments)
        yield Proposal(call, nouns.pin(name, manifest=manifest), typed, checks), facts


def documents() -> Iterator[tuple[Point, JsonObject]]:
    """What is asked, at every point."""
    findings: tuple[list[tuple[str, str]], ...] = ([], [("tag", "/content/0/text")])
    for place, (proposal, facts) in enumerate(proposals()):
        yield Point.CALL, inputs.for_call(proposal, facts)
        if place % 5 == 0:
            outcome = Outcome({}, size=place, elapsed_us=1, tool_error=place % 2 == 0)
            found = findings[place % 3 == 0]
            yield Point.RESULT, inputs.for_result(proposal, facts, outcome, proposal.checks, found)
            agreed = {
                "id": "a",
                "run": "r",
                "roles": ["dev", "ops"][: place % 3],
                "by": ["ann"],
                "signed": place % 2 == 0,
            }
            yield Point.EXECUTE, inputs.for_execute(proposal, facts, agreed)
            judged = inputs.for_call(proposal, facts)
            for answering in PRINCIPALS:
                yield Point.APPROVE, inputs.for_approve(judged, answering, "2026-01-01T00:00:00Z", agreed)
    pins = [nouns.pin(f"tool{place}", manifest=manifest) for place, manifest in enumerate(MANIFESTS)]
    for principal in PRINCIPALS:
        asked = {"protocol": "mcp", "era": "2026-07-28", "transport": "http", "labels": ("pii",)}
        yield Point.LIST, inputs.for_list(principal, "notes", Listed.TOOLS, pins, **asked)  # type: ignore[arg-type]


PACKS = sorted(place.name for place in (ROOT / "policies" / "packs").iterdir() if (place / "data.json").is_file())
PLACES = ["entries", "everything", "examples/notes", *(f"policies/packs/{name}" for name in PACKS)]


def policies(name: str, folder: Path) -> Path:
    own: dict[str, Mapping[str, str]] = {
        "entries": {
            "call.rego": 'package bascule.call\n\nallow contains "x" if input.task.runs > 0\n',
            "data.json": '{"grants": {"ann": {"notes": ["tool0"]}, "*": {"notes": ["tool3"]}}}',
        },
        "everything": EVERYTHING,
        "strict": STRICT,
        "negated": NEGATED,
        "named": NAMED,
        "tests": {"tests.rego": POLICY},
    }
    return written(folder / "policies", own[name]) if name in own else ROOT / name


@pytest.mark.parametrize("name", PLACES)
async def test_each_policy_answers_as_it_does_in_process(name: str, tmp_path: Path, port: int) -> None:
    asked, effects = 0, set()
    async with both(policies(name, tmp_path), tmp_path, port) as (regorus, opa):
        for point, document in documents():
            expected = await answer(regorus, point, document)
            assert await answer(opa, point, document) == expected, document
            effects.add((point, expected[0] if isinstance(expected, tuple) else expected))
            asked += 1
    assert asked > 400
    assert {point for point, _ in effects} == set(Point)
    assert len({effect for point, effect in effects if point is Point.CALL}) > 1


async def test_a_deny_whose_builtin_fails_is_no_allow_in_either_engine(tmp_path: Path, port: int) -> None:
    async with both(policies("strict", tmp_path), tmp_path, port) as engines:
        for pdp in engines:
            [fine, over, wrong] = [inputs.for_call(_asking({"n": n}), FACTS[0]) for n in ("1", "9", "abc")]
            assert (await decide(pdp, Point.CALL, fine, id="d-1")).effect == "allow"
            assert (await decide(pdp, Point.CALL, over, id="d-2")).effect == "deny"
            with pytest.raises(Refused) as refused:
                await decide(pdp, Point.CALL, wrong, id="d-3")
            assert refused.value.code is Code.POLICY_ENGINE
            assert "policies/call.rego:5:" in refused.value.detail


async def test_a_negated_call_on_what_is_missing_is_skipped_by_opa_only(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known fault of OPA (its issue 8387), why such a line is refused at load; here to be seen when it is mended."""
    monkeypatch.setattr("gateway.policy.negation.check", lambda *_: None)
    async with both(policies("negated", tmp_path), tmp_path, port) as (regorus, opa):
        for arguments, expected in (
            ({"path": "notes/a.md"}, ("allow", "allow")),
            ({"path": "etc/passwd"}, ("deny", "deny")),
            ({}, ("deny", "allow")),
        ):
            document = inputs.for_call(_asking(arguments), FACTS[0])
            assert (await refused_or_not(regorus, document), await refused_or_not(opa, document)) == expected


async def test_a_negated_rule_on_what_is_missing_counts_in_either_engine(tmp_path: Path, port: int) -> None:
    async with both(policies("named", tmp_path), tmp_path, port) as engines:
        for pdp in engines:
            assert await refused_or_not(pdp, inputs.for_call(_asking({"path": "notes/a"}), FACTS[0])) == "allow"
            assert await refused_or_not(pdp, inputs.for_call(_asking({}), FACTS[0])) == "deny"


def _asking(arguments: JsonObject) -> Proposal:
    return Proposal(nouns.call(arguments=arguments), nouns.pin())


async def test_the_canaries_prove_it(tmp_path: Path, port: int) -> None:
    async with both(policies("everything", tmp_path), tmp_path, port) as (_, opa):
        evidence = await canaries.prove(opa)
        assert "the reserved one was denied" in evidence
        assert opa.engine.startswith("opa/1.")
        assert opa.engine in evidence


async def test_what_only_opa_can_run_is_run(tmp_path: Path, port: int) -> None:
    place = written(tmp_path / "policies", NEWER)
    loaded = bundle.load(place, engine="opa")
    async with opa_server(loaded, tmp_path, port) as server:
        opa = Opa(loaded, server.url, timeout_s=LONG)
        document = inputs.for_call(_asking({"u": "https://example.org/"}), FACTS[0])
        assert (await decide(opa, Point.CALL, document, id="d-1")).reasons == ("agent asks",)
        await opa.close()


async def test_another_bundle_in_opa_decides_nothing_until_it_is_expected(tmp_path: Path, port: int) -> None:
    before = bundle.load(policies("tests", tmp_path))
    after = bundle.load(written(tmp_path / "policies", {"tests.rego": POLICY.replace("notes/", "drafts/")}))
    document = inputs.for_call(_asking({"path": "drafts/a.md", "text": ""}), FACTS[0])
    opa = Opa(before, f"http://127.0.0.1:{port}", timeout_s=LONG)
    async with opa_server(before, tmp_path, port):
        assert await refused_or_not(opa, document) == "deny"
    assert await refused_or_not(opa, document) == Code.POLICY_ENGINE
    async with opa_server(after, tmp_path, port):
        with pytest.raises(Refused) as refused:
            await decide(opa, Point.CALL, document, id="d-1")
        assert refused.value.code is Code.POLICY_ENGINE
        assert f"serves revision '{after.digest}', not {before.digest}" in refused.value.detail
        opa.reload(after)
        made = await decide(opa, Point.CALL, document, id="d-2")
        assert (made.effect, made.bundle) == ("allow", after.digest)
        await opa.close()


async def test_every_shipped_policy_test_passes_in_the_server_as_in_process(tmp_path: Path, port: int) -> None:
    """The tests themselves, as rules of a real server; `opa test -b` and regorus run the same ones."""
    here = testing.run_tests(testing_folder.load(bundle.shipped()))
    assert here.failed == 0
    with (tmp_path / "opa.log").open("wb") as said:
        async with process(command(port, bundle.shipped()), stdout=said, stderr=said) as child:
            await _listening(child, port, tmp_path / "opa.log")
            async with ClientBuilder().build() as client:
                for ran in here.told()["tests"]:
                    path = "/".join([*ran["package"].removeprefix("data.").split("."), ran["name"]])
                    answered = await client.get(f"http://127.0.0.1:{port}/v1/data/{path}").build().send()
                    assert await answered.json() == {"result": True}, path


async def refused_or_not(pdp: Pdp, document: JsonObject) -> str:
    try:
        return (await decide(pdp, Point.CALL, document, id="d-1")).effect
    except Refused as refused:
        return refused.code


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("policies/x", b'package bascule.call\n\nallow contains "theirs" if true\n'),
        ("policies/x", b"package elsewhere\n\nx := 1\n"),
        ("data/grants", b'{"*": {"*": ["*"]}}'),
        ("data/bascule", b"{}"),
    ],
)
async def test_nothing_can_be_added_beside_our_bundle(path: str, body: bytes, tmp_path: Path, port: int) -> None:
    loaded = bundle.load(policies("tests", tmp_path))
    async with opa_server(loaded, tmp_path, port) as server, ClientBuilder().build() as client:
        response = await client.put(f"{server.url}/v1/{path}").body_bytes(body).build().send()
        assert response.status == 400
        assert "all paths owned by bundle" in await response.text()


async def test_opa_refuses_a_second_bundle_beside_ours(tmp_path: Path, port: int) -> None:
    tarballs = [tmp_path / "ours.tar.gz", tmp_path / "theirs.tar.gz"]
    for tarball, place in zip(tarballs, ("tests", "everything"), strict=True):
        tarball.write_bytes(opabundle.tarball(bundle.load(policies(place, written(tmp_path / place, {})))))
    pipe = asyncio.subprocess.PIPE
    async with process(command(port, *tarballs), stdout=pipe, stderr=asyncio.subprocess.STDOUT) as child:
        async with asyncio.timeout(LONG):
            said, _ = await child.communicate()
    assert child.returncode != 0
    assert b"overlapping roots" in said


async def test_a_whole_data_path_is_decided_by_opa_and_refuses_without_it(tmp_path: Path, port: int) -> None:
    async with data_path(tmp_path) as path, opa_server(path.gw.pdp.bundle, tmp_path, port) as server:
        loaded = path.gw.pdp.bundle
        path.gw.pdp = Opa(loaded, server.url, timeout_s=LONG)
        allowed = await path.write("notes/a.md")
        assert allowed.result is not None
        assert allowed.result["content"] == nouns.outcome().result["content"]
        assert "only notes/ may be written" in str(await path.write("etc/passwd"))
        await server.kill()
        refused = await path.write("notes/a.md")
        assert "POLICY_ENGINE" in str(refused)
        assert "127.0.0.1" not in str(refused)
        await path.gw.pdp.close()
        assert len(path.executor.calls) == 1
        decisions = [leaf["decision"] for leaf in path.leaves() if leaf.get("decision")]
        assert {decision["bundle"] for decision in decisions} == {loaded.digest}
        assert {decision["engine"].split(".")[0] for decision in decisions} == {"opa/1"}


async def test_a_gateway_starts_only_before_an_opa_that_serves_its_bundle(tmp_path: Path, port: int) -> None:
    more = f"policy: {{engine: opa, url: 'http://127.0.0.1:{port}'}}\n"
    folder = Folder(tmp_path / "gateway", {"notes": {"url": "http://127.0.0.1:1/mcp"}}, more=more)
    folder.write()
    with pytest.raises(AssertionError, match="OPA could not be asked"):
        async with serving(folder):
            pass
    other = bundle.load(policies("everything", tmp_path))
    async with opa_server(other, tmp_path, port):
        with pytest.raises(AssertionError, match=f"OPA serves revision '{other.digest}'"):
            async with serving(folder):
                pass
    async with opa_server(bundle.load(folder.path / "policies"), tmp_path, port), serving(folder) as gateway:
        assert gateway.base.startswith("http://127.0.0.1:")
