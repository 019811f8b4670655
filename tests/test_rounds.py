"""What is left of a call while its client is asked: a state that opens once, for whoever was asked."""

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from gateway import rounds
from gateway.channel import SILENT, Unanswered
from gateway.errors import Failed
from gateway.model import Call, Code, Endpoint, JsonObject, Outcome, Principal, Round, RunId
from gateway.rounds import AGAIN, MOST_ASKED_BYTES, MOST_PARKED_EACH, NotOurs, Parked, Parking, Seals
from tests import nouns

RUN = RunId("0190a000-0000-7000-8000-000000000000")
ANSWERS = {"who": {"action": "accept"}}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def seals(clock: Clock) -> Seals:
    return Seals(b"s" * 32, clock=clock, life_s=60)


def later(call: Call, state: str | None, answers: JsonObject = ANSWERS) -> Call:
    return replace(call, round=Round(answers, state))


def test_a_state_opens_to_what_was_sealed(seals: Seals) -> None:
    opened = seals.opened(later(nouns.call(), seals.seal(nouns.call(), RUN, "theirs", "p1")))
    assert opened.round == Round(ANSWERS, "theirs", RUN, "p1")
    assert opened == replace(nouns.call(), round=opened.round)


@pytest.mark.parametrize(("length", "told"), [(10, True), (MOST_ASKED_BYTES, False)])
def test_a_state_tells_what_was_asked_unless_that_is_too_large(seals: Seals, length: int, *, told: bool) -> None:
    questions = {"q": {"method": "elicitation/create", "params": {"message": "x" * length}}}
    opened = seals.opened(later(nouns.call(), seals.seal(nouns.call(), RUN, None, "", questions)))
    assert opened.round == Round(ANSWERS, None, RUN, questions=questions if told else None)


@pytest.mark.promise("rounds.bound")
@pytest.mark.parametrize("used", [True, False])
def test_a_state_is_not_good_after_a_restart_whether_or_not_it_was_used(
    seals: Seals, clock: Clock, *, used: bool
) -> None:
    call = later(nouns.call(), seals.seal(nouns.call(), RUN, None, ""))
    if used:
        seals.opened(call)
    restarted = Seals(b"s" * 32, clock=clock, life_s=60)
    with pytest.raises(NotOurs) as refused:
        restarted.opened(call)
    assert refused.value.detail == "it was made before the gateway started anew"
    assert refused.value.would_pass == AGAIN
    assert restarted.opened(later(nouns.call(), restarted.seal(nouns.call(), RUN, None, ""))).round is not None


def test_a_state_of_another_gateway_does_not_open(seals: Seals, clock: Clock) -> None:
    with pytest.raises(NotOurs) as refused:
        Seals(b"t" * 32, clock=clock).opened(later(nouns.call(), seals.seal(nouns.call(), RUN, None, "")))
    assert refused.value.detail == "it does not open"


CHANGED: dict[str, dict[str, Any]] = {
    "principal": {"principal": Principal("other")},
    "tenant": {"principal": replace(nouns.AGENT, tenant="other")},
    "person": {"principal": replace(nouns.AGENT, person="ann")},
    "endpoint": {"endpoint": Endpoint("", ("notes",), qualified=True)},
    "kind": {"kind": "prompt"},
    "name": {"name": "read_note"},
    "argument": {"arguments": {"path": "notes/b.md", "text": "hello"}},
}


@pytest.mark.promise("rounds.bound")
@pytest.mark.parametrize("what", CHANGED)
def test_a_state_is_good_for_nothing_else(seals: Seals, what: str) -> None:
    state = seals.seal(nouns.call(), RUN, "theirs", "")
    with pytest.raises(NotOurs):
        seals.opened(later(nouns.call(**CHANGED[what]), state))


@pytest.mark.promise("rounds.bound")
def test_a_state_is_good_once(seals: Seals) -> None:
    call = later(nouns.call(), seals.seal(nouns.call(), RUN, None, ""))
    seals.opened(call)
    with pytest.raises(NotOurs) as refused:
        seals.opened(call)
    assert "used before" in refused.value.detail


def test_a_state_expires(seals: Seals, clock: Clock) -> None:
    state = seals.seal(nouns.call(), RUN, None, "")
    clock.now += 61
    with pytest.raises(NotOurs):
        seals.opened(later(nouns.call(), state))


@pytest.mark.parametrize("place", [0, 12, 20, -4])
def test_a_state_changed_by_a_byte_does_not_open(seals: Seals, place: int) -> None:
    state = seals.seal(nouns.call(), RUN, None, "")
    changed = "A" if state[place] != "A" else "B"
    with pytest.raises(NotOurs):
        seals.opened(later(nouns.call(), state[:place] + changed + state[place:][1:]))


@pytest.mark.parametrize("state", [None, "", "A", "AAAA", "=" * 8, "é", "A" * 10_000, "\ud800"])
def test_whatever_is_no_state_does_not_open(seals: Seals, state: str | None) -> None:
    with pytest.raises(NotOurs, match="requestState is not one that this call can go on with"):
        seals.opened(later(nouns.call(), state))


def test_what_was_used_is_forgotten_once_it_has_expired(seals: Seals, clock: Clock) -> None:
    for _ in range(10):
        seals.opened(later(nouns.call(), seals.seal(nouns.call(), RUN, None, "")))
    clock.now += 61
    seals.opened(later(nouns.call(), seals.seal(nouns.call(), RUN, None, "")))
    assert len(seals._used) == 1


@pytest.mark.promise("rounds.bound")
def test_a_used_state_that_had_to_be_forgotten_stays_refused(
    seals: Seals, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_USED", 2)
    calls = []
    for _ in range(4):
        calls.append(later(nouns.call(), seals.seal(nouns.call(), RUN, None, "")))
        seals.opened(calls[-1])
        clock.now += 1
    assert len(seals._used) == 2
    for call in calls:
        with pytest.raises(NotOurs):
            seals.opened(call)
    seals.opened(later(nouns.call(), seals.seal(nouns.call(), RUN, None, "")))


async def permitted(params: JsonObject) -> JsonObject:
    """Nothing stands against it."""
    return params


def parked(owner: str = "agent") -> Parked:
    return Parked(owner, SILENT, asyncio.get_running_loop().create_future())


async def test_questions_of_one_breath_are_one_round_and_answers_go_to_their_own() -> None:
    one = parked()
    asking = [asyncio.ensure_future(one.ask("roots/list", permitted({"n": n}))) for n in range(3)]
    assert await one.next() is None
    assert [question.params for question in one.questions.values()] == [{"n": 0}, {"n": 1}, {"n": 2}]
    keys = list(one.questions)
    one.answer({keys[0]: {"a": 0}, keys[2]: {"a": 2}})
    given = await asyncio.gather(*asking, return_exceptions=True)
    assert (given[0], given[2]) == ({"a": 0}, {"a": 2})
    assert isinstance(given[1], Unanswered)


async def test_a_question_that_is_refused_is_none_and_the_wait_goes_on() -> None:
    one = parked()

    async def refused() -> JsonObject:
        raise Unanswered(-1, "no")

    waiting = asyncio.ensure_future(one.next())
    with pytest.raises(Unanswered):
        await one.ask("roots/list", refused())
    one.work.set_result(Outcome({}, 0, 0))
    assert await waiting == Outcome({}, 0, 0)


async def test_an_outcome_ends_the_wait() -> None:
    one = parked()
    one.work.set_result(Outcome({}, 0, 0))
    assert await one.next() == Outcome({}, 0, 0)


async def test_what_waits_too_long_is_given_up_and_told() -> None:
    parking, one = Parking(idle_s=0.0), parked()
    told = asyncio.Event()
    one.abandoned = told.set
    name = parking.put(one)
    await told.wait()
    assert one.work.cancelled()
    assert (parking.take(name), len(parking)) == (None, 0)


async def test_one_principal_cannot_leave_more_waiting_than_its_share() -> None:
    parking = Parking()
    for _ in range(MOST_PARKED_EACH):
        parking.put(parked())
    over = parked()
    with pytest.raises(Failed, match="too many calls wait"):
        parking.put(over)
    assert over.work.cancelled()
    name = parking.put(parked("other"))
    assert parking.take(name) is not None
    assert parking.take(name) is None
    parking.close()
    assert len(parking) == 0


async def test_what_nobody_can_go_on_with_is_given_up_once() -> None:
    parking, told = Parking(), []
    one = parked()
    one.abandoned = lambda: told.append(1)
    name = parking.put(one)
    for _ in range(2):
        parking.give_up(name)
    assert one.work.cancelled()
    assert told == [1]


@pytest.mark.parametrize("fault", [None, Failed(Code.LOG_UNAVAILABLE, "x"), asyncio.CancelledError()])
async def test_what_no_client_was_told_of_waits_no_longer(fault: BaseException | None) -> None:
    parking, one = Parking(), parked()
    name = parking.put(one)
    with contextlib.suppress(Failed, asyncio.CancelledError), parking.unless_told(name):
        if fault is not None:
            raise fault
    assert one.work.cancelled() is (fault is not None)
    assert len(parking) == (fault is None)
