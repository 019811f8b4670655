import asyncio
from collections.abc import Callable

import pytest

from gateway.errors import Failed
from gateway.executors.stdio import processes as module
from gateway.executors.stdio.processes import OURS, Key, Processes, capabilities_of
from gateway.executors.stdio.server import Server
from gateway.model import Code, JsonObject

ALICE, BOB, CAROL = Key("default", "alice"), Key("default", "bob"), Key("default", "carol")


class Held:
    """A server as far as whoever keeps it looks."""

    def __init__(self) -> None:
        self.usable, self.busy, self.answered = True, 0, False
        self.modern = self.kept = False
        self.who = ("", "")
        self.used = self.started = 0.0
        self.on_end: Callable[[], None] = lambda: None
        self.over, self.calm = asyncio.Event(), asyncio.Event()

    def dismiss(self) -> None:
        self.usable = False
        self.over.set()

    async def gone(self) -> None:
        await self.over.wait()

    async def leave(self) -> None:
        self.dismiss()

    async def quiet(self) -> None:
        await self.calm.wait()

    def dies(self) -> None:
        self.dismiss()
        self.on_end()


class Kept(Processes):
    """With a clock of its own and every opening noted."""

    def __init__(self, *, most: int = 9, idle_s: float = 60.0) -> None:
        super().__init__(self._made, lambda: self.now, lambda: 1.0, most=most, idle_s=idle_s, came=self._seen)
        self.came: list[tuple[Server, tuple[str, str]]] = []
        self.modern = False
        self.now = 100.0
        self.asked: list[Key] = []
        self.held: list[Held] = []
        self.failing: Failed | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def _made(self, key: Key) -> Server:
        self.asked.append(key)
        await self.gate.wait()
        if self.failing is not None:
            raise self.failing
        self.held.append(Held())
        self.held[-1].modern = self.modern
        return self.held[-1]  # type: ignore[return-value]

    def _seen(self, server: Server) -> None:
        self.came.append((server, server.who))

    async def refused(self, key: Key) -> Failed:
        with pytest.raises(Failed) as caught:
            await self.opened(key)
        assert not caught.value.unknown
        return caught.value


async def test_each_principal_has_a_process_of_its_own_and_keeps_it() -> None:
    kept = Kept()
    alice, bob, other = await kept.opened(ALICE), await kept.opened(BOB), await kept.opened(Key("tenant", "alice"))
    assert len({alice, bob, other}) == len(kept) == 3
    assert await kept.opened(ALICE) is alice is kept.current(ALICE)
    assert kept.asked == [ALICE, BOB, Key("tenant", "alice")]


async def test_many_who_ask_at_once_open_one() -> None:
    kept = Kept()
    kept.gate.clear()
    asked = [asyncio.ensure_future(kept.opened(ALICE)) for _ in range(100)]
    await asyncio.sleep(0)
    asked.pop().cancel()
    kept.gate.set()
    assert {await each for each in asked} == {kept.current(ALICE)}
    assert kept.asked == [ALICE]


async def test_the_gateways_own_is_taken_over_by_the_first_who_calls() -> None:
    kept = Kept()
    own = await kept.opened(OURS)
    assert await kept.opened(ALICE) is own
    assert kept.current(OURS) is None
    assert kept.any() is own
    assert await kept.opened(BOB) is not own
    assert kept.asked == [OURS, BOB]


async def test_each_that_comes_is_told_of_and_again_when_somebody_takes_it_over() -> None:
    kept = Kept()
    own, bob = await kept.opened(OURS), await kept.opened(Key("tenant", "bob"))
    await kept.opened(ALICE)
    assert kept.came == [(own, ("", "")), (bob, ("tenant", "bob")), (own, ("default", "alice"))]
    assert kept.live() == [bob, own]


async def test_one_that_declared_nothing_is_not_taken_over_by_who_can_be_asked() -> None:
    kept = Kept()
    own = await kept.opened(OURS)
    asked = ALICE._replace(capabilities='{"sampling":{}}')
    assert await kept.opened(asked) is not own
    assert await kept.opened(ALICE) is own
    assert kept.asked == [OURS, asked]


async def test_in_the_modern_era_a_principal_has_one_process_whatever_it_can_be_asked() -> None:
    kept = Kept()
    kept.modern = True
    kept.gate.clear()
    keys = [BOB, *(BOB._replace(capabilities=text) for text in ('{"roots":{}}', '{"sampling":{}}'))]
    asked = [asyncio.ensure_future(kept.opened(key)) for key in keys]
    await asyncio.sleep(0)
    kept.gate.set()
    servers = {await each for each in asked}
    assert servers == {kept.current(BOB)}
    assert len(kept) == 1
    assert [held.usable for held in kept.held].count(True) == 1


async def test_one_principal_has_only_so_many_processes_whatever_its_clients_declare() -> None:
    kept = Kept()
    keys = [ALICE._replace(capabilities=f'{{"sampling":{{"{number}":1}}}}') for number in range(6)]
    await kept.opened(BOB)
    for key in keys[:5]:
        kept.now += 1
        await kept.opened(key)
    assert [held.usable for held in kept.held] == [True, False, True, True, True, True]
    for held in kept.held:
        held.busy = 1
    assert "too many" in (await kept.refused(keys[5])).reason
    assert await kept.opened(CAROL) is kept.current(CAROL)


async def test_one_that_is_listened_to_is_ended_neither_for_being_idle_nor_before_another() -> None:
    kept = Kept(most=2, idle_s=60)
    for key in (ALICE, BOB):
        await kept.opened(key)
        kept.now += 1
    kept.held[0].kept = True
    await kept.opened(CAROL)
    assert [held.usable for held in kept.held] == [True, False, True]
    kept.held[2].busy = 1
    await kept.opened(BOB)
    assert [held.usable for held in kept.held] == [False, False, True, True], "but before a call finds no room"
    kept.held[3].kept = True
    kept.now += 1_000
    await kept.sweep()
    assert kept.held[3].usable


@pytest.mark.parametrize(
    ("client", "text"),
    [
        ({}, ""),
        ({"other": {}, "roots": None}, ""),
        ({"sampling": {"tools": {}}, "elicitation": {}}, '{"elicitation":{},"sampling":{"tools":{}}}'),
        ({"roots": {"listChanged": True}}, '{"roots":{}}'),
        ({"sampling": {"a": 1}, "extensions": {"x/y": "z" * 20_000}}, '{"sampling":{}}'),
    ],
)
def test_a_key_holds_what_a_client_can_be_asked_and_within_bounds(client: JsonObject, text: str) -> None:
    assert capabilities_of(client, changes=False) == text
    assert (Key("t", "p", text).declared == {}) is (text == "")


def test_a_key_says_that_changes_of_roots_are_told_where_they_are() -> None:
    assert capabilities_of({"roots": {"listChanged": True}}, changes=True) == '{"roots":{"listChanged":true}}'


async def test_one_that_is_just_being_opened_for_a_list_is_waited_for_and_taken_over_once() -> None:
    kept = Kept()
    kept.gate.clear()
    asked = [asyncio.ensure_future(kept.opened(key)) for key in (OURS, ALICE, BOB)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert kept.asked == [OURS]
    kept.gate.set()
    own, alice, bob = [await each for each in asked]
    assert own is alice
    assert bob is not own
    assert kept.asked == [OURS, BOB]


async def test_where_the_own_cannot_be_opened_a_caller_tries_for_itself() -> None:
    kept = Kept()
    kept.gate.clear()
    kept.failing = Failed(Code.UPSTREAM_UNAVAILABLE, "no")
    asked = [asyncio.ensure_future(kept.refused(key)) for key in (OURS, ALICE)]
    for _ in range(5):
        await asyncio.sleep(0)
    kept.gate.set()
    assert [(await each).reason for each in asked] == ["no", "no"]
    assert kept.asked == [OURS, ALICE]


async def test_a_list_is_asked_of_a_live_one_the_last_that_was_used() -> None:
    kept = Kept()
    assert kept.any() is None
    alice, _ = await kept.opened(ALICE), await kept.opened(BOB)
    kept.now += 1
    assert kept.current(ALICE) is alice
    assert kept.any() is alice
    kept.held[0].busy = 1
    assert kept.any() is kept.current(BOB)
    kept.held[1].usable = False
    assert kept.any() is alice


async def test_the_idle_are_ended_and_the_busy_and_the_used_are_not() -> None:
    kept = Kept(idle_s=60)
    for key in (ALICE, BOB, CAROL):
        await kept.opened(key)
    kept.held[1].busy = 1
    kept.now += 59
    kept.current(CAROL)
    kept.now += 1
    await kept.sweep()
    assert [held.usable for held in kept.held] == [False, True, True]
    assert len(kept) == 2


async def test_beyond_the_most_the_longest_unused_goes_and_a_busy_one_never() -> None:
    kept = Kept(most=2)
    await kept.opened(ALICE)
    kept.now += 1
    await kept.opened(BOB)
    kept.held[0].busy = 1
    await kept.opened(CAROL)
    assert [held.usable for held in kept.held] == [True, False, True]
    kept.held[2].busy = 1
    assert "too many" in (await kept.refused(BOB)).reason
    assert kept.asked == [ALICE, BOB, CAROL]


async def test_one_that_never_serves_is_left_alone_for_longer_and_longer() -> None:
    kept = Kept()
    kept.failing = Failed(Code.UPSTREAM_UNAVAILABLE, "no", detail="exit status 1")
    waits = []
    for _ in range(10):
        assert (await kept.refused(ALICE)).reason == "no"
        waits.append(kept._pauses[ALICE].remaining())
        kept.now += waits[-1]
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    kept.now -= 12.5
    assert "started again in 13 s" in (await kept.refused(ALICE)).reason
    assert len(kept.asked) == 10
    kept.failing = None
    assert await kept.opened(BOB) is kept.current(BOB), "one who cannot start hinders nobody else"


async def test_a_short_pause_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, slept = Kept(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await kept.opened(ALICE)
    kept.held[0].answered = True
    kept.held[0].dies()
    monkeypatch.setattr("gateway.executors.stdio.processes.asyncio.sleep", sleep)
    assert kept.current(ALICE) is None
    await kept.opened(ALICE)
    assert len(kept.held) == 2
    assert slept == [0.25]


async def test_one_that_served_begins_its_pauses_anew_and_one_that_was_dismissed_has_none() -> None:
    kept = Kept()
    for answered, pause in ((False, 0.25), (False, 0.5), (True, 0.25), (False, 0.5)):
        await kept.opened(ALICE)
        kept.now += 1
        kept.held[-1].answered = answered
        kept.held[-1].dies()
        assert kept._pauses[ALICE].remaining() == pause
        kept.now += pause
    await kept.opened(BOB)
    kept.now += 61
    await kept.sweep()
    kept.held[-1].on_end()
    assert kept._pauses == {}, "and what is over is forgotten"


async def test_the_next_is_opened_only_once_the_one_before_is_gone() -> None:
    kept = Kept()
    await kept.opened(ALICE)
    kept.held[0].usable = False
    asked = asyncio.ensure_future(kept.opened(ALICE))
    for _ in range(5):
        await asyncio.sleep(0)
    assert kept.asked == [ALICE]
    kept.held[0].answered = True
    kept.held[0].dies()
    kept.now += 1
    await asked
    assert [held.usable for held in kept.held] == [False, True]


async def test_one_that_ends_while_it_is_opened_is_not_given_out() -> None:
    kept = Kept()
    kept.gate.clear()
    asked = asyncio.ensure_future(kept.refused(ALICE))
    await asyncio.sleep(0)
    made = kept._made

    async def dead(key: Key) -> Server:
        server = await made(key)
        kept.held[-1].usable = False
        return server

    kept._open_one = dead
    await asyncio.sleep(0)
    kept.gate.set()
    assert "ended as soon as" in (await asked).reason
    assert len(kept) == 0
    assert kept._pauses[ALICE].remaining() == 0.25


async def test_closing_waits_for_the_busy_then_ends_everybody_and_opens_no_more() -> None:
    kept = Kept()
    await kept.opened(ALICE)
    await kept.opened(BOB)
    kept.held[0].busy = 1
    kept.gate.clear()
    opening = asyncio.ensure_future(kept.refused(CAROL))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(kept.close())
    assert "no longer serves" in (await opening).reason
    assert kept.current(BOB) is kept.any() is None
    assert kept.held[0].usable
    kept.held[0].calm.set()
    await closing
    assert [held.usable for held in kept.held] == [False, False]
    assert "no longer serves" in (await kept.refused(ALICE)).reason


async def test_closing_waits_for_a_call_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.01)
    kept = Kept()
    await kept.opened(ALICE)
    kept.held[0].busy = 1
    await kept.close()
    assert not kept.held[0].usable
