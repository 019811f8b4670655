"""Which grants are suggested: one for each subject and tool, and none where no rule could help."""

from gateway.model import Principal
from gateway.policy.seen import SeenCall
from gateway.policy.suggestion import ANY, pattern, suggest
from tests.policy.recorded import document, path, seen

ANN = Principal("ann", roles=("dev", "admin"))
BOB = Principal("bob", roles=("dev",))


def test_each_principal_has_a_grant_of_its_own_for_each_tool() -> None:
    calls = [seen("read", {}, who=ANN), seen("read", {}, who=BOB), seen("list", {}, who=BOB), seen("list", {}, who=BOB)]
    found = [(one.subject.name, one.tool, one.calls) for one in suggest(calls).grants]
    assert found == [("ann", "read", 1), ("bob", "list", 2), ("bob", "read", 1)]


def test_by_role_whoever_has_it_is_one_subject() -> None:
    calls = [
        seen("read", {}, who=BOB),
        seen("read", {}, who=Principal("eve", roles=("dev",))),
        seen("read", {}, who=Principal("x")),
    ]
    found = [(one.subject.kind, one.subject.name, one.calls) for one in suggest(calls, by="role").grants]
    assert found == [("role", "dev", 2), ("principal", "x", 1)]


def test_what_one_saw_is_not_granted_to_the_other() -> None:
    calls = [
        seen("read", {"path": "/srv/a/x.md"}, {"/path": path("/srv/a/x.md", "/srv")}, who=ANN),
        seen("read", {"path": "/srv/b/x.md"}, {"/path": path("/srv/b/x.md", "/srv")}, who=BOB),
    ]
    values = [place.constraint.values for one in suggest(calls).grants for place in one.places if place.constraint]
    assert values == [("/srv/a",), ("/srv/b",)]


def test_what_was_allowed_needs_no_grant_unless_everything_is_asked() -> None:
    calls = [SeenCall(document("read", {}), "allow", "")]
    assert suggest(calls).grants == ()
    assert [one.tool for one in suggest(calls, all_calls=True).grants] == ["read"]


def test_what_no_rule_could_allow_is_left_with_the_reason_and_the_count() -> None:
    calls = [SeenCall(document("drop", {}), "deny", "POLICY_DENIED")] * 3
    (left,) = suggest(calls).left
    assert left.told() == {
        "principal": "agent", "upstream": "files", "tool": "drop", "calls": 3,
        "why": "a rule refuses it (POLICY_DENIED)",
    }  # fmt: skip


def test_one_argument_that_cannot_be_held_leaves_the_whole_tool_to_a_person() -> None:
    found = suggest([seen("run", {"command": "x" * 500, "limit": 1})])
    assert (found.grants, found.left[0].why) == (
        (), "argument command has 1 different or long values, too many to list honestly",
    )  # fmt: skip


def test_places_are_found_in_objects_and_arrays_and_say_whether_they_are_always_there() -> None:
    calls = [seen("add", {"all": [{"name": "a", "n": 1}, {"name": "b"}], "o": {"p": True}}), seen("add", {"all": []})]
    (grant,) = suggest(calls).grants
    found = {place.steps: place.always for place in grant.places}
    assert found == {
        (): True, ("all",): True, ("all", ANY): True, ("all", ANY, "n"): False, ("all", ANY, "name"): True,
        ("o",): False, ("o", "p"): True,
    }  # fmt: skip
    assert next(place.required for place in grant.places if place.steps == ()) == ("all",)


def test_a_name_that_nobody_could_read_or_that_is_a_credential_is_left() -> None:
    def secret(_name: str, text: str) -> bool:
        return text == "ghp_"

    for name in ("a\u200b", "*", "ghp_"):
        assert suggest([seen("set", {name: 1})], secret=secret).grants == ()


def test_a_pointer_goes_through_arrays_as_any() -> None:
    assert pattern("/files/0/a~1b", {"files": [{"a/b": "x"}]}) == ("files", ANY, "a/b")
    assert pattern("/0", {"0": "x"}) == ("0",)
