"""The registry: first use, review, drift, what is listed, and which call means which tool."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from gateway.errors import ConfigError, Refused
from gateway.model import Call, Code, Digest, Endpoint, JsonObject, Manifest, Mode, PinState
from gateway.registry.drift import Change
from gateway.registry.manifests import Manifests
from gateway.registry.registry import Registry, Terms

Tools = Callable[..., JsonObject]
Calls = Callable[..., Call]
Registries = Callable[..., Registry]
REVIEW = Terms(trust="review")
ONE = Endpoint("files", ("files",), qualified=False)


def refusal(registry: Registry, call: Call) -> Refused:
    with pytest.raises(Refused) as refused:
        registry.resolve(call)
    return refused.value


def listed(registry: Registry, endpoint: Endpoint = ONE) -> list[str]:
    return [pin.name for pin in registry.pins(endpoint)]


def test_the_first_complete_list_is_accepted_and_a_later_tool_waits(
    registry: Registries, tool: Tools, call: Calls
) -> None:
    subject = registry()
    first = subject.offer("files", [tool("b"), tool("a")])
    assert [(change.name, change.change) for change in first] == [("a", Change.PINNED), ("b", Change.PINNED)]
    later = subject.offer("files", [tool("a"), tool("b"), tool("c")])
    assert [(change.name, change.change) for change in later] == [("c", Change.WAITING)]
    assert listed(subject) == ["a", "b"]
    assert subject.resolve(call("a")).state is PinState.ACCEPTED


def test_under_review_every_tool_waits_until_it_is_accepted(registry: Registries, tool: Tools, call: Calls) -> None:
    subject = registry(files=REVIEW)
    subject.offer("files", [tool("a"), tool("b")])
    assert listed(subject) == []
    assert [change.change for change in subject.accept("files", "a")] == [Change.ACCEPTED]
    assert listed(subject) == ["a"]
    assert refusal(subject, call("b")).code is Code.TOOL_UNKNOWN
    subject.accept("files", None)
    assert listed(subject) == ["a", "b"]


def test_an_empty_first_list_is_a_first_list(registry: Registries, tool: Tools) -> None:
    subject = registry()
    assert subject.offer("files", []) == ()
    subject.offer("files", [tool("a")])
    assert listed(subject) == []


def test_a_drifted_tool_is_listed_as_it_was_accepted_and_its_call_refused(
    registry: Registries, tool: Tools, call: Calls
) -> None:
    subject = registry()
    subject.offer("files", [tool("a")])
    accepted = subject.resolve(call("a"))
    (change,) = subject.offer("files", [tool("a", "does something else")])
    assert (change.change, change.old) == (Change.DRIFTED, accepted.digest)
    (pin,) = subject.pins(ONE)
    assert (pin.definition, pin.state) == (accepted.definition, PinState.DRIFTED)
    refused = refusal(subject, call("a"))
    assert (refused.code, bool(refused.would_pass)) == (Code.TOOL_DRIFTED, True)
    subject.accept("files", "a")
    assert subject.resolve(call("a")).definition["description"] == "does something else"


def test_a_drift_that_is_taken_back_is_in_force_again(registry: Registries, tool: Tools, call: Calls) -> None:
    subject = registry()
    subject.offer("files", [tool("a", "one")])
    subject.offer("files", [tool("a", "two")])
    assert [change.change for change in subject.offer("files", [tool("a", "one")])] == [Change.RESTORED]
    assert subject.resolve(call("a")).state is PinState.ACCEPTED


def test_a_tool_that_vanished_stays_pinned_and_is_not_listed(registry: Registries, tool: Tools, call: Calls) -> None:
    subject = registry()
    subject.offer("files", [tool("a"), tool("b")])
    subject.offer("files", [tool("b")])
    assert listed(subject) == ["b"]
    assert refusal(subject, call("a")).code is Code.TOOL_UNKNOWN
    assert [change.change for change in subject.offer("files", [tool("a"), tool("b")])] == [Change.RETURNED]
    assert listed(subject) == ["a", "b"]


def test_every_unknown_tool_is_refused_in_the_same_words(registry: Registries, tool: Tools, call: Calls) -> None:
    subject = registry(files=Terms(), crm=REVIEW)
    subject.offer("files", [tool("bad"), tool("gone"), tool("dotted.name")])
    subject.offer("files", [tool("bad"), tool("dotted.name")])
    subject.offer("crm", [tool("waits")])
    subject.quarantine("files", "bad")
    refusals = [
        refusal(subject, each)
        for each in (
            call("missing"),
            call("bad"),
            call("gone"),
            call("waits", "crm"),
            call("files__bad", "files", "crm", qualified=True),
            call("crm__waits", "files", "crm", qualified=True),
            call("files__dotted.name", "files", "crm", qualified=True),
            call("elsewhere__x", "files", qualified=True),
            call("no_separator", "files", qualified=True),
        )
    ]
    assert {(one.code, one.reason, one.would_pass) for one in refusals} == {(Code.TOOL_UNKNOWN, "Unknown tool", "")}
    assert all(one.detail for one in refusals)


def test_a_qualified_name_reaches_only_upstreams_of_its_endpoint(
    registry: Registries, tool: Tools, call: Calls
) -> None:
    subject = registry(files=Terms(), crm=Terms())
    subject.offer("files", [tool("a"), tool("b__c")])
    subject.offer("crm", [tool("a")])
    assert subject.resolve(call("crm__a", "files", "crm", qualified=True)).upstream == "crm"
    assert subject.resolve(call("files__b__c", "files", "crm", qualified=True)).name == "b__c"
    assert refusal(subject, call("crm__a", "files", qualified=True)).code is Code.TOOL_UNKNOWN


def test_a_tool_whose_full_name_cannot_be_shown_is_missing_there_and_reported(
    registry: Registries, tool: Tools
) -> None:
    subject = registry()
    subject.offer("files", [tool("a"), tool("dotted.name"), tool("x" * 60)])
    assert listed(subject) == ["a", "dotted.name", "x" * 60]
    assert listed(subject, Endpoint("all", ("files",), qualified=True)) == ["a"]
    assert [problem.name for problem in subject.problems("files")] == ["dotted.name", "x" * 60]


def test_pins_stand_in_the_order_of_the_endpoint_then_by_name(registry: Registries, tool: Tools) -> None:
    subject = registry(files=Terms(), crm=Terms())
    subject.offer("files", [tool("z"), tool("b")])
    subject.offer("crm", [tool("c")])
    endpoint = Endpoint("all", ("files", "crm"), qualified=True)
    assert [(pin.upstream, pin.name) for pin in subject.pins(endpoint)] == [
        ("files", "b"),
        ("files", "z"),
        ("crm", "c"),
    ]
    assert subject.pins(endpoint) is subject.pins(endpoint)


def test_lookalikes_and_hidden_text_wait_even_on_first_use(registry: Registries, tool: Tools) -> None:
    subject = registry(files=Terms(), crm=Terms())
    subject.offer("files", [tool("getItem"), tool("Copy"), tool("copy"), tool("poison", "nice\u200b")])
    subject.offer("crm", [tool("getltem"), tool("poison")])
    assert listed(subject) == ["getItem"]
    assert listed(subject, Endpoint("crm", ("crm",), qualified=False)) == ["poison"]
    assert {problem.name for problem in subject.problems("files")} == {"Copy", "copy", "poison"}
    assert "files/getItem" in subject.problems("crm")[0].text
    subject.accept("crm", "getltem")
    assert "getltem" in listed(subject, Endpoint("crm", ("crm",), qualified=False))


def test_an_unchanged_list_changes_nothing_and_a_new_problem_is_still_seen(registry: Registries, tool: Tools) -> None:
    subject = registry()
    subject.offer("files", [tool("a")])
    revision = subject.revision
    assert subject.offer("files", [tool("a")]) == ()
    assert subject.revision == revision
    subject.offer("files", [tool("a"), tool("not good")])
    assert [problem.name for problem in subject.problems("files")] == ["not good"]


def test_the_revision_changes_with_what_a_list_shows(registry: Registries, tool: Tools) -> None:
    subject = registry()
    revisions = [subject.revision]
    for step in (
        lambda: subject.offer("files", [tool("a"), tool("b")]),
        lambda: subject.offer("files", [tool("a", "other"), tool("b")]),
        lambda: subject.accept("files", "a"),
        lambda: subject.quarantine("files", "b"),
        lambda: subject.restate({"files": Terms()}, Manifests({})),
    ):
        step()
        revisions.append(subject.revision)
    assert len(set(revisions)) == len(revisions)


def test_quarantine_takes_out_of_force_until_accepted_by_name(registry: Registries, tool: Tools, call: Calls) -> None:
    subject = registry()
    subject.offer("files", [tool("a"), tool("b")])
    assert [change.change for change in subject.quarantine("files", None)] == [Change.QUARANTINED] * 2
    assert subject.quarantine("files", "a") == ()
    assert listed(subject) == []
    assert subject.accept("files", None) == ()
    assert [change.name for change in subject.accept("files", "a")] == ["a"]
    assert subject.resolve(call("a")).state is PinState.ACCEPTED
    assert subject.accept("files", "a") == ()


def test_accepting_a_digest_that_is_not_offered_any_more_is_refused(registry: Registries, tool: Tools) -> None:
    subject = registry(files=REVIEW)
    (change,) = subject.offer("files", [tool("a", "reviewed")])
    subject.offer("files", [tool("a", "swapped")])
    with pytest.raises(ConfigError, match="does not offer"):
        subject.accept("files", "a", digest=change.new)
    (offered,) = subject.show("files")
    assert offered.offered is not None
    assert subject.accept("files", "a", digest=Digest(offered.offered.digest))


@pytest.mark.parametrize(
    ("upstream", "name", "words"),
    [
        ("file", None, "upstream named file; the nearest is files"),
        ("files", "rad", "the nearest is read"),
        ("q", "x", "named q"),
    ],
)
def test_an_operator_who_misspells_is_told_the_nearest_name(
    registry: Registries, tool: Tools, upstream: str, name: str | None, words: str
) -> None:
    subject = registry()
    subject.offer("files", [tool("read")])
    for action in (subject.accept, subject.quarantine):
        with pytest.raises(ConfigError, match=words):
            action(upstream, name)


def test_show_tells_state_versions_and_difference(registry: Registries, tool: Tools) -> None:
    subject = registry(files=Terms(mode=Mode.SHADOW))
    subject.offer("files", [tool("a"), tool("b")])
    subject.offer("files", [tool("a", "changed"), tool("b")])
    drifted, accepted = subject.show("files")
    assert (drifted.state, drifted.mode, drifted.listed) == (PinState.DRIFTED, Mode.SHADOW, True)
    assert '+  "description": "changed",' in drifted.difference
    assert (accepted.state, accepted.offered, accepted.difference) == (PinState.ACCEPTED, None, ())
    assert subject.show("nowhere") == ()


def test_what_the_lock_held_is_in_force_once_the_list_was_seen_again(
    registry: Registries, tool: Tools, call: Calls
) -> None:
    before = registry()
    before.offer("files", [tool("a"), tool("b")])
    subject = registry(before.lock())
    assert subject.unseen(ONE) == ("files",)
    assert refusal(subject, call("a")).code is Code.TOOL_UNKNOWN
    changes = subject.offer("files", [tool("a"), tool("b", "changed while we were away")])
    assert [(change.name, change.change) for change in changes] == [("b", Change.DRIFTED)]
    assert subject.resolve(call("a")).state is PinState.ACCEPTED
    assert refusal(subject, call("b")).code is Code.TOOL_DRIFTED
    assert subject.unseen(ONE) == ()


def seconds(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("terms", "now", "mode"),
    [
        (Terms(), 0.0, Mode.ENFORCE),
        (Terms(Mode.SHADOW), 4e9, Mode.SHADOW),
        (Terms(Mode.SHADOW, date(2027, 1, 31)), seconds(date(2027, 2, 1)) - 1, Mode.SHADOW),
        (Terms(Mode.SHADOW, date(2027, 1, 31)), seconds(date(2027, 2, 1)), Mode.ENFORCE),
        (Terms(Mode.ENFORCE, date(2027, 1, 31)), 0.0, Mode.ENFORCE),
    ],
)
def test_shadow_lasts_through_its_last_day(
    registry: Registries, tool: Tools, call: Calls, terms: Terms, now: float, mode: Mode
) -> None:
    subject = registry(clock=lambda: now, files=terms)
    subject.offer("files", [tool("a")])
    assert subject.resolve(call("a")).mode is mode


@pytest.mark.parametrize("asked", ["resolve", "pins"])
def test_a_running_registry_enforces_when_the_shadow_ends(
    registry: Registries, tool: Tools, call: Calls, asked: str
) -> None:
    now = [0.0]
    subject = registry(clock=lambda: now[0], files=Terms(Mode.SHADOW, date(2027, 1, 31)))
    subject.offer("files", [tool("a")])
    revision = subject.revision
    now[0] = seconds(date(2027, 2, 1))
    pin = subject.resolve(call("a")) if asked == "resolve" else subject.pins(ONE)[0]
    assert pin.mode is Mode.ENFORCE
    assert subject.revision > revision


def test_a_pin_carries_its_manifest_and_new_settings_replace_it(registry: Registries, tool: Tools, call: Calls) -> None:
    reads = Manifest(effects=("read",))
    subject = registry(manifests=Manifests({"files": {"a": reads}}))
    subject.offer("files", [tool("a"), tool("b")])
    assert subject.resolve(call("a")).manifest is reads
    assert subject.resolve(call("b")).manifest == Manifest()
    subject.restate({"files": Terms()}, Manifests({}))
    assert subject.resolve(call("a")).manifest == Manifest()


def test_an_upstream_that_is_no_longer_configured_has_no_pins(registry: Registries, tool: Tools, call: Calls) -> None:
    subject = registry()
    subject.offer("files", [tool("a")])
    subject.restate({"crm": Terms()}, Manifests({}))
    assert refusal(subject, call("a")).code is Code.TOOL_UNKNOWN
    subject.quarantine("files", "a")
    assert subject.lock()["files"]["a"].state is PinState.QUARANTINED
    assert listed(subject) == []


@pytest.mark.parametrize("name", ["a__b", "bascule", "ends_"])
def test_an_upstream_with_a_name_that_splits_badly_refuses_the_start(registry: Registries, name: str) -> None:
    with pytest.raises(ConfigError, match=f"upstreams.{name}"):
        registry(**{name: Terms()})


def test_when_a_definition_was_accepted_is_told(registry: Registries, tool: Tools) -> None:
    subject = registry(clock=lambda: seconds(date(2026, 11, 22)))
    subject.offer("files", [tool("a")])
    (shown,) = subject.show("files")
    assert shown.accepted is not None
    assert shown.accepted.since == "2026-11-22T00:00:00Z"


def test_an_upstreams_revision_changes_with_its_own_pins_and_no_others(registry: Registries, tool: Tools) -> None:
    subject = registry(files=Terms(), notes=Terms())
    subject.offer("files", [tool("a")])
    before = {name: subject.revision_of(name) for name in ("files", "notes")}
    subject.offer("notes", [tool("a")])
    assert subject.revision_of("files") == before["files"]
    assert subject.revision_of("notes") != before["notes"]
    known = subject.revision_of("notes")
    subject.restate({"files": Terms(), "notes": Terms()})
    subject.offer("notes", [tool("a")])
    assert subject.revision_of("notes") == known
    subject.quarantine("notes", "a")
    assert subject.revision_of("notes") != known
    subject.restate({"notes": Terms()})
    assert subject.revision_of("files") == 0


def test_an_upstreams_revision_changes_when_its_shadow_ends(registry: Registries, tool: Tools) -> None:
    now = [0.0]
    subject = registry(clock=lambda: now[0], files=Terms(Mode.SHADOW, date(2027, 1, 31)))
    subject.offer("files", [tool("a")])
    before = subject.revision_of("files")
    assert subject.mode("files") is Mode.SHADOW
    now[0] = seconds(date(2027, 2, 1))
    assert subject.revision_of("files") != before
    assert subject.mode("files") is Mode.ENFORCE


def test_what_has_no_definition_gets_a_stand_in_under_the_terms_of_its_upstream(registry: Registries) -> None:
    subject = registry(files=Terms(Mode.SHADOW, date(2027, 1, 31), sandbox="strict"))
    pin = subject.stand_in("files", "file:///a")
    assert (pin.upstream, pin.name, pin.digest, pin.state) == ("files", "file:///a", "", PinState.ACCEPTED)
    assert (pin.mode, pin.sandbox) == (Mode.SHADOW, "strict")
    assert (pin.manifest.effects, pin.manifest.reversal) == (("read",), "none")
    other = subject.stand_in("gone", "vendor/method", ("unknown",))
    assert (other.manifest.effects, other.manifest.reversal, other.mode) == (("unknown",), "unknown", Mode.ENFORCE)
