"""In which order an upstream is asked about one resource, with an upstream that answers when the test says so."""

import asyncio

import pytest

from gateway.errors import Failed
from gateway.executors.interests import SUBSCRIBE, UNSUBSCRIBE, Interests
from gateway.model import Code

REJECTED = Failed(Code.UPSTREAM_INVALID, "error -32602", fault={"code": -32602})
LOST = Failed(Code.UPSTREAM_TIMEOUT, "late")


class Upstream:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[asyncio.Future[None]] = []
        self.interests = Interests(self.ask)

    async def ask(self, method: str, _uri: str) -> None:
        self.asked.append(method)
        self.answers.append(asyncio.get_running_loop().create_future())
        await self.answers[-1]

    def answer(self, fault: Failed | None = None) -> None:
        if fault is None:
            self.answers[-1].set_result(None)
        else:
            self.answers[-1].set_exception(fault)

    def hold(self) -> "asyncio.Task[None]":
        return asyncio.ensure_future(self.interests.hold("a://x"))

    async def held(self) -> None:
        holding = self.hold()
        await settled()
        self.answer()
        await holding


async def settled() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def test_a_new_subscription_waits_for_the_unsubscription_before_it() -> None:
    up = Upstream()
    await up.held()
    up.interests.drop("a://x", silent=False)
    await settled()
    again = up.hold()
    await settled()
    assert up.asked == [SUBSCRIBE, UNSUBSCRIBE], "one at a time"
    up.answer()
    await settled()
    assert up.asked == [SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE]
    up.answer()
    await again


async def test_an_unsubscription_that_a_new_subscription_overtook_is_never_sent() -> None:
    up = Upstream()
    await up.held()
    up.interests.drop("a://x", silent=False)
    await up.interests.hold("a://x")  # before the upstream was told anything
    await settled()
    assert up.asked == [SUBSCRIBE]


async def test_who_gives_up_waiting_is_unsubscribed_only_after_the_answer() -> None:
    up = Upstream()
    first = up.hold()
    await settled()
    first.cancel()
    await asyncio.wait({first})
    up.interests.drop("a://x", silent=False)
    await settled()
    assert up.asked == [SUBSCRIBE]
    up.answer()
    await settled()
    assert up.asked == [SUBSCRIBE, UNSUBSCRIBE]
    up.answer()
    await settled()
    assert len(up.interests) == 0


@pytest.mark.parametrize(("fault", "after"), [(REJECTED, []), (LOST, [UNSUBSCRIBE])])
async def test_what_was_rejected_needs_no_unsubscription(fault: Failed, after: list[str]) -> None:
    up = Upstream()
    holding = up.hold()
    await settled()
    up.answer(fault)
    with pytest.raises(Failed):
        await holding
    up.interests.drop("a://x", silent=False)
    await settled()
    assert up.asked == [SUBSCRIBE, *after]
    if after:
        up.answer()
        await settled()
    assert len(up.interests) == 0


async def test_silence_forgets_what_was_subscribed_to() -> None:
    up = Upstream()
    await up.held()
    up.interests.drop("a://x", silent=True)
    await settled()
    assert (up.asked, len(up.interests)) == ([SUBSCRIBE], 0)


async def test_the_end_fails_whoever_waits_and_does_not_cancel_them() -> None:
    up = Upstream()
    holding = up.hold()
    await settled()
    await up.interests.end()
    with pytest.raises(Failed) as failed:
        await holding
    assert failed.value.code is Code.UPSTREAM_UNAVAILABLE
