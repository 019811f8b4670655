"""The catalogue: lists that are not pinned, their revisions, and what in them is not shown."""

from itertools import pairwise
from typing import Any

import pytest

from gateway.kinds import Listed
from gateway.registry.catalogue import NAMED_BY, Catalogue
from gateway.registry.templates import LONGEST, matching

OTHERS = [what for what in Listed if what is not Listed.TOOLS]


def entry(what: Listed, name: object, **more: Any) -> dict[str, Any]:
    return {NAMED_BY[what]: name, **more}


@pytest.mark.parametrize("what", OTHERS)
def test_a_list_is_kept_by_name_in_a_stable_order_as_it_was_written(what: Listed) -> None:
    subject = Catalogue()
    assert not subject.known("a", what)
    assert subject.offer("a", what, [entry(what, "y", vendor=[1.5, None]), entry(what, "x")]) == ()
    assert list(subject.items("a", what)) == ["x", "y"]
    assert subject.items("a", what)["y"].definition == entry(what, "y", vendor=[1.5, None])
    assert (subject.known("a", what), subject.known("b", what), dict(subject.items("b", what))) == (True, False, {})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (None, "has no"),
        ("", "has no"),
        (7, "has no"),
        (["x"], "has no"),
        ("a\nb", "does not see"),
        ("a\u202eb", "does not see"),
        ("a\u200bb", "does not see"),
        ("a\ud800", "does not see"),
        ("x" * (LONGEST + 1), "more than"),
    ],
    ids=lambda value: ascii(value)[:12],
)
@pytest.mark.parametrize("what", OTHERS)
def test_an_entry_without_a_usable_name_is_not_shown_and_told(what: Listed, name: object, why: str) -> None:
    subject = Catalogue()
    (problem,) = subject.offer("a", what, [entry(what, name), entry(what, "good")])
    assert why in problem.text
    assert problem.name.isascii()
    assert list(subject.items("a", what)) == ["good"]


def test_an_entry_that_is_no_object_or_cannot_be_written_again_is_not_shown() -> None:
    subject = Catalogue()
    given = ["text", None, entry(Listed.PROMPTS, "p", title="\ud800"), entry(Listed.PROMPTS, "q", x=2**70)]
    assert len(subject.offer("a", Listed.PROMPTS, given)) == 2  # the first two are one problem
    assert list(subject.items("a", Listed.PROMPTS)) == ["q"]
    assert str(2**70).encode() in subject.items("a", Listed.PROMPTS)["q"].encoded


def test_the_first_of_two_entries_of_one_name_is_shown() -> None:
    subject = Catalogue()
    given = [entry(Listed.RESOURCES, "x", title="one"), entry(Listed.RESOURCES, "x", title="two")]
    (problem,) = subject.offer("a", Listed.RESOURCES, given)
    assert "more than once" in problem.text
    assert subject.items("a", Listed.RESOURCES)["x"].definition["title"] == "one"


def test_a_revision_changes_with_what_a_list_shows_and_only_then() -> None:
    subject = Catalogue()
    seen = [subject.revision("a", Listed.PROMPTS)]
    for given in ([("x", True)], [("x", True)], [("x", 1)], [("x", 1), ("y", 1)], [("y", 1), ("x", 1)], []):
        subject.offer("a", Listed.PROMPTS, [entry(Listed.PROMPTS, name, value=value) for name, value in given])
        seen.append(subject.revision("a", Listed.PROMPTS))
    assert [after != before for before, after in pairwise(seen)] == [
        True,
        False,
        True,  # what Python takes for equal is not
        True,
        False,
        True,
    ]
    subject.offer("b", Listed.PROMPTS, [])
    assert subject.revision("b", Listed.PROMPTS) not in seen
    assert subject.revision("a", Listed.RESOURCES) == 0


def test_templates_are_compiled_once_for_each_revision() -> None:
    subject = Catalogue()
    assert subject.templates("a") == ()
    subject.offer("a", Listed.TEMPLATES, [entry(Listed.TEMPLATES, "x:///{y}")])
    assert matching("x:///1", subject.templates("a")) == ("x:///{y}",)
    assert subject.templates("a") is subject.templates("a")
    subject.offer("a", Listed.TEMPLATES, [entry(Listed.TEMPLATES, "z:///{y}")])
    assert matching("x:///1", subject.templates("a")) == ()


def test_upstreams_that_are_gone_are_forgotten_and_their_revisions_never_come_again() -> None:
    subject = Catalogue()
    for upstream in ("a", "b"):
        subject.offer(upstream, Listed.TEMPLATES, [entry(Listed.TEMPLATES, "x:///{y}")])
        subject.templates(upstream)
    before = subject.revision("a", Listed.TEMPLATES)
    subject.only({"b"})
    assert (subject.known("a", Listed.TEMPLATES), subject.templates("a")) == (False, ())
    assert subject.known("b", Listed.TEMPLATES)
    subject.offer("a", Listed.TEMPLATES, [])
    assert subject.revision("a", Listed.TEMPLATES) > before
