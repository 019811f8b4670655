"""What one process is listened to for, with a process that is the test."""

import asyncio
from typing import Any

import pytest

from gateway.channel import About
from gateway.errors import Failed
from gateway.executors.answer import Answer
from gateway.executors.messages import ELICITED
from gateway.executors.stdio import topics as module
from gateway.executors.stdio.topics import ACKNOWLEDGED, LISTS, Feed, Topics
from gateway.executors.stdio.waiting import Envelope
from gateway.kinds import UPDATED
from gateway.model import Code, JsonObject

TOOLS_CHANGED = "notifications/tools/list_changed"
DONE = Answer(200, {"jsonrpc": "2.0", "id": 1, "result": {}})
REFUSED = Answer(200, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "hunter2"}})


class Process:
    """As far as its topics use it: keeps what it is asked, and answers when the test says so."""

    def __init__(self, *, modern: bool = False, resources: Any = None) -> None:
        self.modern, self.usable = modern, True
        self.about = About(
            {
                "tools": {"listChanged": True},
                "prompts": {"listChanged": False},
                "resources": {"subscribe": False, "listChanged": True} if resources is None else resources,
            }
        )
        self.asked: list[tuple[str, JsonObject]] = []
        self.withdrawn: list[JsonObject] = []
        self.heard_of: list[str] = []
        self.answer: Answer | Failed = DONE
        self.listening: list[tuple[Envelope, asyncio.Future[Answer]]] = []
        self.topics = Topics(self)  # type: ignore[arg-type]

    async def ask(self, envelope: Envelope) -> Answer:
        self.asked.append((envelope.method, envelope.params))
        if isinstance(self.answer, Failed):
            raise self.answer
        return self.answer

    async def listen(self, envelope: Envelope) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.asked.append((envelope.method, envelope.params))
        self.listening.append((envelope, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            self.withdrawn.append(envelope.params)
            raise

    def heard(self, method: str, params: JsonObject) -> bool:
        self.heard_of.append(method)
        return self.topics.heard(method, params)

    def says(self, method: str, params: JsonObject, to: int = -1) -> bool:
        """Within a subscription."""
        heard = self.listening[to][0].heard
        assert heard is not None
        return heard(method, params)

    def acknowledges(self, *uris: str, to: int = -1) -> bool:
        return self.says(ACKNOWLEDGED, {"notifications": {"resourceSubscriptions": list(uris)}}, to)


class Listener:
    """A feed and what it was told."""

    def __init__(self, *uris: str) -> None:
        self.told: list[tuple[str, JsonObject]] = []
        self.feed = Feed(("default", "ann"), uris, lambda method, params: self.told.append((method, params)))

    @property
    def failed(self) -> Failed:
        broken = self.feed.over.exception()
        assert isinstance(broken, Failed)
        return broken

    @property
    def listens(self) -> bool:
        return not self.feed.over.done()


def kept(process: Process) -> bool:
    return process.topics.kept


async def settled() -> None:
    """Until every task that could go on has."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_resource_is_subscribed_to_once_and_left_with_the_last() -> None:
    process, first, second = Process(), Listener(), Listener()
    assert not kept(process)
    for listener in (first, second, first):
        process.topics.join("note://a", listener.feed)
    await settled()
    assert process.asked == [("resources/subscribe", {"uri": "note://a"})]
    assert kept(process)
    process.topics.leave(first.feed)
    await settled()
    assert kept(process)
    process.topics.leave(second.feed)
    process.topics.leave(second.feed)
    await settled()
    assert process.asked[1:] == [("resources/unsubscribe", {"uri": "note://a"})]
    assert not kept(process)
    assert process.topics._leaving == set()


async def test_lists_cost_the_legacy_era_nothing_and_keep_no_process() -> None:
    process, listener = Process(), Listener()
    process.topics.join(LISTS, listener.feed)
    await settled()
    assert not kept(process)
    assert process.topics.heard(TOOLS_CHANGED, {"secret": 1})
    process.topics.leave(listener.feed)
    assert not process.topics.heard(TOOLS_CHANGED, {})
    assert process.asked == []
    assert listener.told == [(TOOLS_CHANGED, {})]


async def test_a_complete_elicitation_is_told_to_whoever_hears_of_lists_without_what_stands_beside_its_id() -> None:
    process, listener = Process(), Listener()
    assert not process.topics.heard(ELICITED, {"elicitationId": "1"})
    process.topics.join(LISTS, listener.feed)
    assert process.topics.heard(ELICITED, {"elicitationId": "1", "more": 1})
    assert not process.topics.heard(ELICITED, {"elicitationId": 1})
    assert listener.told == [(ELICITED, {"elicitationId": "1"})]
    process.topics.leave(listener.feed)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("note://a", ["note://a"]),
        ("note://a/b/c", ["note://a"]),
        ("note://dir/x", ["note://dir/"]),
        ("note://dir", []),
        ("note://ab", []),
        ("note://", []),
        ("", []),
        (7, []),
        (None, []),
    ],
)
async def test_an_update_is_told_of_what_is_subscribed_to_or_lies_below_it(uri: Any, told: list[str]) -> None:
    process, listener = Process(), Listener()
    for name in ("note://a", "note://dir/", LISTS):
        process.topics.join(name, listener.feed)
    await settled()
    assert process.topics.heard(UPDATED, {"uri": uri, "title": "secret"}) is bool(told)
    assert listener.told == [(UPDATED, {"uri": name}) for name in told]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (REFUSED, Code.UPSTREAM_INVALID),
        (Failed(Code.UPSTREAM_TIMEOUT, "late", unknown=True), Code.UPSTREAM_TIMEOUT),
    ],
)
async def test_a_subscription_that_is_refused_fails_those_it_was_for_and_can_be_tried_again(
    answer: Answer | Failed, code: Code
) -> None:
    process, first, second, other = Process(), Listener(), Listener(), Listener()
    process.topics.join("note://b", other.feed)
    await settled()
    process.answer = answer
    process.topics.join("note://a", first.feed)
    process.topics.join("note://a", second.feed)
    await settled()
    for listener in (first, second):
        assert (listener.failed.code, listener.failed.unknown) == (code, False)
        assert "hunter2" not in listener.failed.reason
    assert other.listens
    process.answer = DONE
    again = Listener()
    process.topics.join("note://a", again.feed)
    await settled()
    assert again.listens
    assert [method for method, _ in process.asked] == ["resources/subscribe"] * 3


@pytest.mark.parametrize("modern", [False, True])
async def test_a_resource_that_is_refused_leaves_the_others_of_its_feed(modern: bool) -> None:
    process, listener = Process(modern=modern), Listener("note://a", "note://b")
    process.topics.join("note://a", listener.feed)
    await settled()
    process.answer = REFUSED
    process.topics.join("note://b", listener.feed)
    await settled()
    if modern:
        process.acknowledges("note://a", to=0)
        process.listening[1][1].set_result(REFUSED)
        await settled()
    assert listener.listens
    update = (UPDATED, {"uri": "note://a"})
    assert process.says(*update, to=0) if modern else process.heard(*update)
    assert listener.told == [(ACKNOWLEDGED, {"refused": ["note://b"]}), update]
    process.topics.end(Failed(Code.UPSTREAM_UNAVAILABLE, "over"))
    await settled()
    assert not listener.listens


@pytest.mark.parametrize("modern", [False, True])
async def test_a_feed_is_acknowledged_once_and_only_when_all_of_it_is_answered(modern: bool) -> None:
    process, listener = Process(modern=modern), Listener("note://a", "note://b")
    listener.feed.begin()
    for uri in ("note://a", "note://b"):
        process.topics.join(uri, listener.feed)
        assert listener.told == []
        await settled()
        if modern:
            assert listener.told == []
            process.acknowledges(uri)
    later = Listener("note://a")
    process.topics.join("note://a", later.feed)
    assert listener.told == later.told == [(ACKNOWLEDGED, {"refused": []})]
    process.topics.join("note://a", listener.feed)  # as where a second process of the same principal starts
    assert len(listener.told) == 1


async def test_a_feed_without_resources_is_acknowledged_as_it_begins() -> None:
    listener = Listener()
    listener.feed.begin()
    assert listener.told == [(ACKNOWLEDGED, {})]


async def test_a_feed_all_of_which_is_refused_is_not_acknowledged() -> None:
    process, listener = Process(), Listener("note://a")
    process.answer = REFUSED
    process.topics.join("note://a", listener.feed)
    await settled()
    assert (listener.told, listener.failed.code) == ([], Code.UPSTREAM_INVALID)


@pytest.mark.parametrize("resources", [False, "yes", []])
async def test_what_is_not_declared_is_not_asked_for(resources: Any) -> None:
    process, listener = Process(resources=resources), Listener()
    process.topics.join("note://a", listener.feed)
    await settled()
    assert not listener.listens
    assert process.asked == []


async def test_the_end_of_a_process_ends_the_subscriptions_and_not_the_hearing_of_lists() -> None:
    process, of_uri, of_lists = Process(), Listener(), Listener()
    process.topics.join("note://a", of_uri.feed)
    process.topics.join(LISTS, of_lists.feed)
    process.topics.end(Failed(Code.UPSTREAM_UNAVAILABLE, "it died", detail="exit status 3", unknown=True))
    assert (of_uri.failed.reason, of_uri.failed.detail, of_uri.failed.unknown) == ("it died", "exit status 3", False)
    assert of_lists.listens
    process.topics.leave(of_uri.feed)
    await settled()
    assert process.asked == []


async def test_a_process_that_is_gone_is_not_told_that_nobody_listens() -> None:
    process, listener = Process(), Listener()
    process.topics.join("note://a", listener.feed)
    await settled()
    process.usable = False
    process.topics.leave(listener.feed)
    await settled()
    assert len(process.asked) == 1


async def test_an_unsubscription_that_fails_is_nobodys_concern() -> None:
    process, listener = Process(), Listener()
    process.topics.join("note://a", listener.feed)
    await settled()
    process.answer = Failed(Code.UPSTREAM_UNAVAILABLE, "no")
    process.topics.leave(listener.feed)
    await settled()
    assert process.topics._leaving == set()


async def test_only_so_much_is_subscribed_to_at_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    process, listener, late = Process(), Listener(), Listener()
    for name in ("note://a", "note://b"):
        process.topics.join(name, listener.feed)
    process.topics.join("note://b", late.feed)
    assert late.listens
    process.topics.join("note://c", late.feed)
    assert late.failed.code is Code.UPSTREAM_UNAVAILABLE
    await settled()


# The modern era


async def test_a_topic_is_a_subscription_of_its_own_that_is_withdrawn_with_the_last() -> None:
    process, first, second = Process(modern=True), Listener(), Listener()
    process.topics.join("note://a", first.feed)
    process.topics.join("note://a", second.feed)
    process.topics.join(LISTS, first.feed)
    await settled()
    lists = {"toolsListChanged": True, "resourcesListChanged": True}
    of_uri = {"notifications": {"resourceSubscriptions": ["note://a"]}}
    assert process.asked == [("subscriptions/listen", of_uri), ("subscriptions/listen", {"notifications": lists})]
    process.topics.leave(first.feed)
    await settled()
    assert process.withdrawn == [{"notifications": lists}]
    process.topics.leave(second.feed)
    await settled()
    assert process.withdrawn[1:] == [of_uri]
    assert len(process.asked) == 2, "nothing is unsubscribed from in this era"


async def test_nothing_counts_before_the_acknowledgement_and_only_the_topics_own_after_it() -> None:
    process, of_uri, of_lists = Process(modern=True), Listener(), Listener()
    process.topics.join("note://a", of_uri.feed)
    process.topics.join(LISTS, of_lists.feed)
    await settled()
    update = (UPDATED, {"uri": "note://a"})
    assert not process.says(*update, to=0)
    assert not process.says(TOOLS_CHANGED, {}, to=1)
    assert process.acknowledges("note://a", to=0)
    assert process.acknowledges(to=1)
    assert not process.acknowledges("note://a", to=0), "once"
    assert not process.says(TOOLS_CHANGED, {}, to=0)
    assert not process.says(*update, to=1)
    assert not process.says("notifications/message", {}, to=0)
    assert not process.heard(*update), "an update names its subscription"
    assert process.says(*update, to=0)
    assert process.says(TOOLS_CHANGED, {}, to=1)
    assert of_uri.told == [update]
    assert of_lists.told == [(TOOLS_CHANGED, {})]
    assert process.heard_of == [UPDATED, TOOLS_CHANGED]
    process.topics.end(Failed(Code.UPSTREAM_UNAVAILABLE, "over"))
    await settled()


async def test_a_process_that_tells_no_changes_is_not_asked_for_them() -> None:
    process, listener = Process(modern=True), Listener()
    process.about = About({"tools": {}, "prompts": "odd"})
    process.topics.join(LISTS, listener.feed)
    await settled()
    assert (process.asked, listener.listens) == ([], True)


@pytest.mark.parametrize(
    "accepted", [{}, {"notifications": 7}, {"notifications": {"resourceSubscriptions": ["note://b"]}}]
)
async def test_an_acknowledgement_without_the_resource_is_a_refusal(accepted: JsonObject) -> None:
    process, listener = Process(modern=True), Listener()
    process.topics.join("note://a", listener.feed)
    await settled()
    process.says(ACKNOWLEDGED, accepted)
    with pytest.raises(Failed, match="offers no updates"):
        await listener.feed.over
    assert process.withdrawn == [{"notifications": {"resourceSubscriptions": ["note://a"]}}]


async def test_an_acknowledgement_that_never_comes_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.01)
    process, of_uri, of_lists = Process(modern=True), Listener(), Listener()
    process.topics.join(LISTS, of_lists.feed)
    process.topics.join("note://a", of_uri.feed)
    with pytest.raises(Failed) as caught:
        await of_uri.feed.over
    assert caught.value.code is Code.UPSTREAM_TIMEOUT
    await settled()
    assert of_lists.listens
    assert len(process.withdrawn) == 2


@pytest.mark.parametrize(("answer", "reason"), [(DONE, "ended the subscription"), (REFUSED, "error -32602")])
async def test_an_answer_ends_a_subscription(answer: Answer, reason: str) -> None:
    process, of_uri, of_lists = Process(modern=True), Listener(), Listener()
    process.topics.join("note://a", of_uri.feed)
    process.topics.join(LISTS, of_lists.feed)
    await settled()
    for _, answered in process.listening:
        answered.set_result(answer)
    with pytest.raises(Failed, match=reason):
        await of_uri.feed.over
    assert of_lists.listens
    assert process.heard(TOOLS_CHANGED, {})
    assert of_lists.told == [(TOOLS_CHANGED, {})], "an older server says it all the same"
