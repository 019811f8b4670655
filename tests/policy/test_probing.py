"""The tests that come with a suggestion: made from its rules alone, and able to fail."""

from pathlib import Path

from gateway.policy import folder, probing, testing, wording
from gateway.policy.suggestion import suggest
from tests.policy.recorded import email, path, seen, url
from tests.policy.test_wording import CALLS, written


def test_every_grant_has_an_input_it_allows_and_inputs_that_differ_in_one_thing() -> None:
    (grant,) = suggest([seen("read", {"paths": ["/srv/a.md"], "n": 1}, {"/paths/0": path("/srv/a.md", "/srv")})]).grants
    plain = probing.seen(grant)
    assert (plain["args"], plain["typed"]["/paths/0"]["value"]) == ({"paths": ["/srv"], "n": 1}, "/srv")
    others = list(probing.changed(grant))
    assert [one["principal"]["id"] for one in others] == ["changed", "agent", "agent", "agent"]
    assert [one["args"] for one in others[1:]] == [
        {"paths": ["/srv"], "n": 1, "never seen": "changed"},
        {"paths": ["/srv"], "n": 2},
        {"paths": ["/srv-changed"], "n": 1},
    ]


def test_urls_and_addresses_are_changed_where_it_matters() -> None:
    typed = {"/url": url("a.example"), "/to": email("a@x.example")}
    (grant,) = suggest([seen("s", {"url": "https://a.example/x", "to": "a@x.example", "ok": True}, typed)]).grants
    others = list(probing.changed(grant))[2:]
    assert [one["args"]["ok"] for one in others] == [False, True, True]
    assert others[1]["typed"]["/to"]["value"] == "a@x.example-changed"
    assert others[2]["typed"]["/url"]["host"] == "changed.invalid"


def test_what_cannot_be_changed_is_not() -> None:
    (grant,) = suggest(
        [seen("s", {"a": True, "b": None, "content": "x"}), seen("s", {"a": False, "b": None, "content": "y"})]
    ).grants
    assert len(list(probing.changed(grant))) == 2


def test_a_rule_that_allows_more_fails_its_test(tmp_path: Path) -> None:
    place = written(tmp_path, CALLS[:1])
    file = place / wording.FILE
    wider = file.read_text().replace('\tseen_inside("/path", {"/srv/docs/notes"})\n', "")
    assert wider != file.read_text()
    file.write_text(wider)
    assert testing.run_tests(folder.load(place)).failed == 1
