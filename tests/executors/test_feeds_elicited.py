import pytest

from gateway.executors.feeds import OURS, Feed, Feeds
from gateway.executors.messages import ELICITED
from gateway.model import JsonObject


@pytest.mark.parametrize("owner", [OURS, ("alice", "1"), ("alice", "1", "digest")])
def test_a_complete_elicitation_is_told_to_the_gateway_alone_which_knows_whose_it_is(owner: tuple[str, ...]) -> None:
    made, told = Feeds(), {"ours": list[tuple[str, JsonObject]](), "alice": list[tuple[str, JsonObject]]()}
    assert not made.noticed(owner, ELICITED, {"elicitationId": "1"})
    alice = Feed(("alice", "1"), ("a://x",), lambda *said: told["alice"].append(said))
    with made.added(Feed(OURS, (), lambda *said: told["ours"].append(said))), made.added(alice):
        assert made.noticed(owner, ELICITED, {"elicitationId": "1", "more": 1})
        assert made.noticed(owner, ELICITED, {"elicitationId": 1})
    assert told == {"ours": [(ELICITED, {"elicitationId": "1"})], "alice": []}
    assert not made.changed
