"""Finding calls: by what the index knows, by what only the records say, and by nothing that does not exist."""

import pytest

from gateway.admin.searches import audit_search
from gateway.errors import ConfigError
from gateway.model import JsonObject, Principal
from tests.path import DataPath

WHO = "os:tester"


async def found(path: DataPath, **filters: str) -> list[JsonObject]:
    runs: list[JsonObject] = (await audit_search(path.gw.archive, operator=WHO, filters=filters))["runs"]
    return runs


@pytest.fixture
async def calls(path: DataPath) -> DataPath:
    """A read, a write, a write that is denied, and a read by somebody else in another session."""
    await path.call("read_note", arguments={"path": "notes/Über.md"})
    await path.write()
    await path.write("private/a.md")
    other = Principal("bob", tenant="acme")
    await path.call("read_note", arguments={"path": "x"}, principal=other, session="wrap:7", task="t-7")
    return path


@pytest.mark.parametrize(
    ("filters", "tools"),
    [
        ({}, ["read_note", "write_note", "write_note", "read_note"]),
        ({"principal": "bob"}, ["read_note"]),
        ({"tenant": "acme"}, ["read_note"]),
        ({"tool": "write_note"}, ["write_note", "write_note"]),
        ({"tool": "write_note", "ending": "refused"}, ["write_note"]),
        ({"code": "POLICY_DENIED"}, ["write_note"]),
        ({"effect": "deny"}, ["write_note"]),
        ({"effect": "none"}, []),
        ({"task": "t-7"}, ["read_note"]),
        ({"session": "wrap:7"}, ["read_note"]),
        ({"text": "über"}, ["read_note"]),
        ({"text": "only notes/ may be written"}, ["write_note"]),
        ({"upstream": "notes", "since": "1h"}, ["read_note", "write_note", "write_note", "read_note"]),
        ({"until": "1h"}, []),
        ({"upstream": "other"}, []),
    ],
)
async def test_calls_are_found_newest_first(calls: DataPath, filters: dict[str, str], tools: list[str]) -> None:
    assert [run["tool"] for run in await found(calls, **filters)] == tools


async def test_a_call_that_was_found_says_who_what_when_and_where_its_record_is(calls: DataPath) -> None:
    (run,) = await found(calls, code="POLICY_DENIED")
    assert (run["principal"], run["upstream"], run["effect"], run["ending"]) == ("agent", "notes", "deny", "refused")
    (leaf,) = calls.leaves("call.refused")
    assert (leaf["run"], leaf["ts"][:17]) == (run["run"], run["time"][:17])
    assert calls.leaves()[run["record"]]["id"] == leaf["id"]


async def test_a_page_says_where_the_next_begins(calls: DataPath) -> None:
    first = await audit_search(calls.gw.archive, operator=WHO, limit=3)
    rest = await audit_search(calls.gw.archive, operator=WHO, limit=3, before=first["more"])
    assert [len(first["runs"]), len(rest["runs"]), rest["more"], first["bounded"]] == [3, 1, None, False]
    assert {run["run"] for run in first["runs"]}.isdisjoint(run["run"] for run in rest["runs"])


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ({"ending": "gone"}, "there is no ending gone: there are done, failed"),
        ({"code": "NOPE"}, "there is no code NOPE"),
        ({"effect": "maybe"}, "there is no effect maybe: there are allow"),
        ({"since": "soon"}, "--since 'soon' is no time"),
        ({"colour": "red"}, "not found by colour; they are by principal"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_what_can(path: DataPath, filters: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        await found(path, **filters)
