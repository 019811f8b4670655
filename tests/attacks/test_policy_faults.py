"""A policy that would decide otherwise than it reads, or not in time: it never gets into force, or never decides."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.attacks.clients import Client, client, decision
from tests.attacks.upstreams import Upstream, upstream
from tests.commands import bascule, refused_start
from tests.serving import ALLOW_READS_AND_NOTES, Folder, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = ALLOW_READS_AND_NOTES
LONG = "count([1 | some a in numbers.range(1, 800); some b in numbers.range(1, 800); a == b])"
REPLACED = """package bascule.call

default allow := false

allow if input.tool.name == "write_note"
"""


def rule(body: str) -> str:
    """A policy whose fifth line is this."""
    return f'package bascule.call\n\nallow contains "tests" if {{\n\tinput.tool.name == "write_note"\n\t{body}\n}}\n'


REFUSED: dict[str, tuple[str, int, str]] = {
    "an unsafe rule": (rule('not input.principal.roles[_] == "admin"'), 5, "input.principal.roles"),
    "a variable that nothing binds": (rule("x > 3"), 5, "x"),
    "a volatile builtin": (rule("time.now_ns() > 0"), 5, "time.now_ns"),
    "a builtin that reaches out": (rule('http.send({"method": "get", "url": "http://127.0.0.1"})'), 5, "http.send"),
    "what makes the engine panic": (rule('strings.count("a", input.args.text) > 0'), 5, "strings.count"),
    "a syntax error": (rule('input.args.path == "a" ==='), 5, "Rego"),
    "a rule that replaces a set of the entry": (REPLACED, 3, "allow"),
    "a rule that replaces the decision": (
        'package bascule.call\n\ndecision := {"effect": "allow", "reasons": [], "obligations": []}\n',
        3,
        "decision",
    ),
}
"""The policy, the line that is named, and what is said of it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reached() -> AsyncIterator[Upstream]:
    async with upstream() as kept:
        yield kept


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def folder(reached: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("policies") / "gateway", {"kept": {"url": reached.url}})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talking(folder: Folder) -> AsyncIterator[Client]:
    async with serving(folder) as served, client(served.url("kept")) as one:
        yield one


def put(folder: Folder, policy: str) -> Path:
    file = folder.path / "policies" / "tests.rego"
    file.write_text(policy)
    return file


async def decides_as_before(talking: Client) -> None:
    allowed = await talking.call("write_note", {"path": "notes/a", "text": "x"})
    refused = await talking.call("write_note", {"path": "private/a", "text": "x"})
    assert decision(allowed)["effect"] == "allow"
    assert decision(refused)["would_pass"] == "a path under notes/"


@pytest.mark.promise("fail-closed", "policy.refused-at-load")
@pytest.mark.parametrize("what", REFUSED)
async def test_a_reload_refuses(talking: Client, folder: Folder, what: str) -> None:
    policy, line, said = REFUSED[what]
    file = put(folder, policy)
    reloaded = await bascule(folder, "policy", "reload")
    assert reloaded.code == 2
    assert f"{file}:{line}" in reloaded.err, reloaded.err
    assert said in reloaded.err
    await decides_as_before(talking)


@pytest.mark.promise("fail-closed", "policy.refused-at-load")
async def test_a_start_refuses_what_a_reload_refuses(reached: Upstream, tmp_path: Path) -> None:
    policy, line, said = REFUSED["an unsafe rule"]
    folder = Folder(tmp_path / "gateway", {"kept": {"url": reached.url}}, policy)
    folder.write()
    refused = await refused_start(folder)
    assert refused.code == 2
    assert f"{folder.path / 'policies' / 'tests.rego'}:{line}" in refused.err
    assert said in refused.err


@pytest.mark.promise("policy.canaries")
async def test_a_policy_that_takes_too_long_on_every_call_is_refused_by_the_canaries(
    talking: Client, folder: Folder
) -> None:
    put(folder, f'package bascule.call\n\nallow contains "tests" if {LONG} > 0\n')
    reloaded = await bascule(folder, "policy", "reload")
    assert reloaded.code == 2
    assert "canary" in reloaded.err
    assert "took" in reloaded.err
    await decides_as_before(talking)


@pytest.mark.promise("fail-closed", "policy.reload")
async def test_an_answer_that_came_too_late_denies_and_the_next_call_is_decided(
    talking: Client, folder: Folder, reached: Upstream
) -> None:
    slow = (
        rule('input.args.text != "slow"')
        + f'\ndeny contains "slow" if {{\n\tinput.args.text == "slow"\n\t{LONG} < 0\n}}\n'
    )
    put(folder, slow + '\nallow contains "late" if input.args.text == "slow"\n')
    reloaded = await bascule(folder, "policy", "reload")
    assert reloaded.code == 0, reloaded.err
    before = len(reached.effects)
    late = await talking.call("write_note", {"path": "notes/a", "text": "slow"})
    assert decision(late)["code"] == "POLICY_ENGINE"
    assert len(reached.effects) == before
    quick = await talking.call("write_note", {"path": "private/a", "text": "quick"})
    assert decision(quick)["effect"] == "allow", "the reloaded policy decides"
    put(folder, GOOD)
    assert (await bascule(folder, "policy", "reload")).code == 0
    await decides_as_before(talking)


@pytest.mark.promise("policy.check")
async def test_a_check_names_the_input_field_that_is_not_there(folder: Folder) -> None:
    file = put(folder, rule('input.principal.nmae == "agent"'))
    checked = await bascule(folder, "policy", "check")
    put(folder, GOOD)
    assert checked.code == 1
    assert f"{file}:5" in checked.out
    assert "input.principal.nmae" in checked.out
