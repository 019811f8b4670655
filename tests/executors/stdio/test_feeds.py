from gateway.errors import Failed
from gateway.executors.stdio.feeds import GATEWAY, Feeds
from gateway.executors.stdio.topics import LISTS, Feed
from gateway.model import Code

ANN, BOB = ("default", "ann"), ("default", "bob")


class Joined:
    """The topics of one process."""

    def __init__(self) -> None:
        self.names: list[tuple[str, Feed]] = []

    def join(self, name: str, feed: Feed) -> None:
        self.names.append((name, feed))

    def leave(self, feed: Feed) -> None:
        self.names = [each for each in self.names if each[1] is not feed]

    def of(self, feed: Feed) -> set[str]:
        return {name for name, joined in self.names if joined is feed}


class Process:
    def __init__(self, who: tuple[str, str]) -> None:
        self.who, self.topics = who, Joined()


def feed(who: tuple[str, str], *uris: str) -> Feed:
    return Feed(who, uris, lambda method, params: None)


async def test_a_process_tells_whom_it_belongs_to_and_the_gateway_only_of_its_lists() -> None:
    feeds, processes = Feeds(), [Process(ANN), Process(BOB), Process(GATEWAY)]
    ann, ours = feed(ANN, "note://a", "note://b"), feed(GATEWAY, "note://c")
    for each in (ann, ours):
        feeds.join(each, processes)  # type: ignore[arg-type]
    assert [process.topics.of(ann) for process in processes] == [{LISTS, "note://a", "note://b"}, set(), set()]
    assert [process.topics.of(ours) for process in processes] == [{LISTS}, {LISTS}, {LISTS, "note://c"}]


async def test_a_process_that_starts_later_or_is_taken_over_tells_them_too() -> None:
    feeds, process = Feeds(), Process(GATEWAY)
    ann, ours = feed(ANN, "note://a"), feed(GATEWAY)
    feeds.join(ann, [])
    feeds.join(ours, [])
    feeds.came(process)  # type: ignore[arg-type]
    assert process.topics.of(ann) == set()
    assert process.topics.of(ours) == {LISTS}
    process.who = ANN
    feeds.came(process)  # type: ignore[arg-type]
    assert process.topics.of(ann) == {LISTS, "note://a"}
    feeds.leave(ann, [process])  # type: ignore[list-item]
    feeds.came(process)  # type: ignore[arg-type]
    assert process.topics.of(ann) == set()


async def test_the_end_is_told_to_every_feed_once() -> None:
    feeds, ann, bob = Feeds(), feed(ANN), feed(BOB)
    for each in (ann, bob):
        feeds.join(each, [])
    for reason in ("over", "again"):
        feeds.end(Failed(Code.UPSTREAM_UNAVAILABLE, reason))
    assert {str(each.over.exception()) for each in (ann, bob)} == {"over"}
