"""Typed values: where the manifest says an argument means something, and what it means."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import Refused
from gateway.model import Code, Proposal, TypeSpec
from gateway.validators import semantic

Proposals = Callable[..., Proposal]
PATH = TypeSpec("path", {"roots": ["/srv"]})
EMAIL = TypeSpec("email", {})


def refused(proposal: Proposal) -> Refused:
    with pytest.raises(Refused) as caught:
        semantic.typed(proposal)
    assert caught.value.code is Code.SEMANTIC
    return caught.value


def test_a_typed_argument_stands_under_its_pointer(proposal: Proposals) -> None:
    typed = semantic.typed(proposal({"path": "/srv/a/../b"}, **{"/path": PATH}))
    value = typed.typed["/path"]
    assert (value.type, value.value, value.parts) == ("path", "/srv/b", {"inside": "/srv"})
    assert typed.call.arguments == {"path": "/srv/a/../b"}


@pytest.mark.parametrize(
    ("pointer", "arguments", "found"),
    [
        ("/to/*", {"to": ["a@b.c", "d@e.f"]}, {"/to/0", "/to/1"}),
        ("/to/*/mail", {"to": [{"mail": "a@b.c"}, {}]}, {"/to/0/mail"}),
        ("/to/1", {"to": ["x", "a@b.c"]}, {"/to/1"}),
        ("/to/1", {"to": ["x"]}, set()),
        ("/a~1b/c~0d", {"a/b": {"c~d": "a@b.c"}}, {"/a~1b/c~0d"}),
        ("/a/b", {"a": {}}, set()),
        ("/a", {}, set()),
        ("/", {"": "a@b.c"}, {"/"}),
        ("/to/*", {"to": []}, set()),
    ],
)
def test_a_pointer_finds_the_values_it_means(
    proposal: Proposals, pointer: str, arguments: Any, found: set[str]
) -> None:
    assert semantic.typed(proposal(arguments, **{pointer: EMAIL})).typed.keys() == found


@pytest.mark.parametrize(
    ("pointer", "arguments", "reason"),
    [
        ("/to", {"to": None}, "argument /to must be a string"),
        ("/to", {"to": 7}, "argument /to must be a string"),
        ("/to", {"to": ["a@b.c"]}, "argument /to must be a string"),
        ("/to/*", {"to": "a@b.c"}, "argument /to must be an array"),
        ("/to/*", {"to": {"*": "a@b.c"}}, "argument /to must be an array"),
        ("/to/*", {"to": [["a@b.c"]]}, "argument /to/0 must be a string"),
        ("/to/mail", {"to": ["a@b.c"]}, "argument /to must be an object"),
        ("/to/mail", {"to": "a@b.c"}, "argument /to must be an object"),
        ("/*", {"to": "a@b.c"}, "argument / must be an array"),
    ],
)
def test_a_value_of_another_kind_is_refused_and_does_not_pass_unseen(
    proposal: Proposals, pointer: str, arguments: Any, reason: str
) -> None:
    refusal = refused(proposal(arguments, **{pointer: EMAIL}))
    assert refusal.reason.startswith(reason)
    assert refusal.would_pass


def test_a_value_that_is_not_of_its_type_is_refused_without_being_told(proposal: Proposals) -> None:
    refusal = refused(proposal({"path": "/etc/secret-name"}, **{"/path": PATH}))
    assert refusal.reason == "argument /path lies outside the folders this tool may use"
    assert refusal.would_pass == "a path inside /srv"
    assert "secret-name" not in str(refusal)


def test_a_tool_without_types_is_left_as_it_is(proposal: Proposals) -> None:
    subject = proposal({"a": 1})
    assert semantic.typed(subject) is subject


def test_pointers_are_made_ready_once_for_a_manifest(proposal: Proposals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic, "KEPT", 2)
    for digest in ("sha256:1", "sha256:2", "sha256:1", "sha256:3", "sha256:1", "sha256:1"):
        semantic.typed(proposal({"a": "a@b.c"}, digest, **{"/a": EMAIL}))
    assert set(semantic._compiled) >= {"sha256:1"}
    assert len(semantic._compiled) <= 2
    before = semantic._compiled["sha256:1"]  # type: ignore[index]
    semantic.typed(proposal({"a": "a@b.c"}, "sha256:1", **{"/a": EMAIL}))
    assert semantic._compiled["sha256:1"] is before  # type: ignore[index]
