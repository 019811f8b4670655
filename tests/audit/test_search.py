"""Who called what: answered from the index where it can be, and bounded where records have to be opened."""

from typing import Any

import orjson
import pytest

from gateway.audit import search as searching
from gateway.audit.search import Answer, Search, search
from gateway.model import JsonObject
from gateway.storage.database import RunRow
from gateway.storage.wanted import Wanted


class Log:
    """A reader with as many runs as a test says: their leaves, and what is sealed in them."""

    def __init__(self, *runs: JsonObject) -> None:
        self.rows = [self._row(number, run) for number, run in enumerate(runs)]
        self.runs = runs
        self.pages: list[tuple[Wanted, int, str]] = []

    @staticmethod
    def _row(number: int, run: JsonObject) -> RunRow:
        intent, settled = (None, number) if run.get("effect") == "deny" else (number, None)
        ids = (f"{number:04}", "task", "ann", "default", "files", "read", "ended", "done", "")
        return RunRow(*ids, intent, settled, number, number)

    def runs_wanted(self, wanted: Wanted, *, limit: int, before: str = "") -> list[RunRow]:
        self.pages.append((wanted, limit, before))
        return [row for row in reversed(self.rows) if row.run < (before or "~")][:limit]

    def leaf(self, index: int) -> bytes | None:
        effect = self.runs[index].get("effect", "allow")
        return orjson.dumps({"id": str(index), **({"decision": {"effect": effect}} if effect else {})})

    def opened(self, index: int, leaf: JsonObject) -> dict[str, bytes] | None:
        run = self.runs[index]
        assert leaf["id"] == str(index)
        if run.get("erased"):
            return None
        sealed: JsonObject = {"call": {"session": run.get("session", "s")}, "args": run.get("args", {})}
        return {name: orjson.dumps(value) for name, value in (sealed | run.get("more", {})).items()}


def found(log: Log, asked: Search = Search(), **more: Any) -> Answer:  # noqa: B008 - frozen
    return search(log, asked, log.opened, **more)  # type: ignore[arg-type]


def runs(answer: Answer) -> list[str]:
    return [hit.run.run for hit in answer.hits]


def test_without_a_question_the_newest_come_first_and_nothing_is_opened() -> None:
    log = Log({"erased": True}, {"effect": "deny"}, {"effect": ""})
    answer = found(log)
    assert (runs(answer), [hit.effect for hit in answer.hits]) == (["0002", "0001", "0000"], ["none", "deny", "allow"])
    assert (answer.looked, answer.not_kept, answer.more) == (3, 0, "")


def test_a_page_ends_where_the_next_one_goes_on() -> None:
    log = Log(*[{}] * 5)
    first = found(log, limit=2)
    assert (runs(first), first.more) == (["0004", "0003"], "0003")
    second = found(log, limit=2, before=first.more)
    assert (runs(second), second.more) == (["0002", "0001"], "0001")
    assert runs(found(log, limit=2, before=second.more)) == ["0000"]
    assert found(log, limit=5).more == ""


def test_the_index_is_asked_for_all_it_knows() -> None:
    log = Log({})
    wanted = Wanted(principal="ann", since=7)
    found(log, Search(wanted))
    assert log.pages[0] == (wanted, searching.PAGE, "")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Search(effect="deny"), ["0001"]),
        (Search(effect="none"), ["0003"]),
        (Search(session="other"), ["0002"]),
        (Search(text="PASSWD"), ["0000"]),
        (Search(text='say "hi"'), ["0002"]),
        (Search(text="too long"), ["0001"]),
        (Search(text="a.c"), []),
        (Search(text="passwd", effect="deny"), []),
        (Search(text="über"), ["0003"]),
    ],
)
def test_records_are_opened_for_what_only_they_say(asked: Search, expected: list[str]) -> None:
    log = Log(
        {"args": {"path": "/etc/passwd"}},
        {"effect": "deny", "more": {"refusal": {"detail": "it is too long"}}},
        {"session": "other", "args": {"text": 'say "hi"'}},
        {"effect": "", "args": {"word": "Über"}},
    )
    assert runs(found(log, asked)) == expected


def test_what_is_not_kept_is_counted_and_never_taken_for_a_miss() -> None:
    answer = found(Log({"erased": True}, {"args": {"a": "x"}}), Search(text="x"))
    assert (runs(answer), answer.looked, answer.not_kept) == (["0001"], 2, 1)


def test_a_search_that_opens_records_is_bounded_and_says_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_LOOKED", 3)
    log = Log({"args": {"a": "x"}}, *[{}] * 5)
    answer = found(log, Search(text="x"))
    assert (runs(answer), answer.looked, answer.more) == ([], 3, "0003")
    assert runs(found(log, Search(text="x"), before=answer.more)) == ["0000"]
    assert found(log).looked == 6


def test_no_answer_holds_more_than_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST", 2)
    assert len(found(Log(*[{}] * 5), limit=10**9).hits) == 2
    assert len(found(Log(*[{}] * 5), limit=-1).hits) == 1
