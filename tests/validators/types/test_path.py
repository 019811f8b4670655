"""Paths: the normal form, what contains them, and every spelling another reader could take differently."""

import posixpath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.validators.types import path
from gateway.validators.types.unfit import Unfit

DOCS = {"roots": ["/srv/docs"], "relative_to": "/srv/docs"}


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("a.md", "/srv/docs/a.md"),
        ("/srv/docs/a", "/srv/docs/a"),
        ("/srv//docs/./a/", "/srv/docs/a"),
        ("/srv/docs", "/srv/docs"),
        ("", "/srv/docs"),
        (".", "/srv/docs"),
        ("a/../b", "/srv/docs/b"),
        ("../docs/b", "/srv/docs/b"),
        ("/../srv/docs/b", "/srv/docs/b"),
        ("a~", "/srv/docs/a~"),
        ("a/~b", "/srv/docs/a/~b"),
        ("a b%20c", "/srv/docs/a b%20c"),
        ("...", "/srv/docs/..."),
        ("..a/b..", "/srv/docs/..a/b.."),
        ("ab:c", "/srv/docs/ab:c"),
        ("caf\u00e9/\u65e5\u672c", "/srv/docs/caf\u00e9/\u65e5\u672c"),
    ],
)
def test_a_path_inside_the_root_has_one_normal_form(value: str, normal: str) -> None:
    typed = path.reader(DOCS)(value)
    assert (typed.type, typed.value, typed.parts["inside"]) == ("path", normal, "/srv/docs")


@pytest.mark.parametrize(
    "value", ["/srv/docs2/a", "/srv/doc", "/srv", "/", "../x", "a/../../b", "/srv/docs/../../etc/passwd", "/etc/passwd"]
)
def test_a_path_outside_the_roots_is_refused_segment_by_segment(value: str) -> None:
    with pytest.raises(Unfit) as unfit:
        path.reader(DOCS)(value)
    assert unfit.value.would_pass == "a path inside /srv/docs"


@pytest.mark.parametrize(
    "value",
    [
        "a\x00b", "a\nb", "a\x7f", "a\x9bb", "..\\x", "a\\b", "~", "~/x", "~root/x", "//srv/docs/a", "C:/x", "c:x",
        "file:///srv/docs/a", "http://x/y", "%2e%2e/x", "%2E%2e", "a/%2e./x", "a/.%2E", "%252e%252e/x",
        "x%2fy", "..%2Fx",
        "x%5cy", "x%00", "x%252fy", "a\u200bb", "a\u202eb", "\ufeffa", "a\u2028b", "a\U000e0041", "\ud800",
        "\uff0e\uff0e/x",
        "a\uff0fb", "\u2025/x", "a\uff3cb", "\uff5e/x", "\uff052e", "cafe\u0301", "x" * 4097,
    ],
)  # fmt: skip
@pytest.mark.parametrize("settings", [DOCS, {}], ids=["roots", "free"])
def test_a_path_that_can_be_read_in_two_ways_is_refused(value: str, settings: Any) -> None:
    with pytest.raises(Unfit, match="reads the same way"):
        path.reader(settings)(value)


@pytest.mark.parametrize(
    ("value", "normal"),
    [("a/../../b", "../b"), ("../../x", "../../x"), ("", "."), ("a/..", "."), ("/a/../../b", "/b"), ("./a//b/", "a/b")],
)
def test_without_roots_a_path_only_gets_its_normal_form(value: str, normal: str) -> None:
    typed = path.reader({})(value)
    assert (typed.value, typed.parts) == (normal, {"inside": None})


def test_a_relative_path_needs_to_know_where_it_starts() -> None:
    with pytest.raises(Unfit, match="absolute"):
        path.reader({"roots": ["/srv"]})("a")


def test_the_root_of_everything_contains_everything_and_the_first_root_wins() -> None:
    assert path.reader({"roots": ["/"]})("/etc").parts == {"inside": "/"}
    read = path.reader({"roots": ["/a", "/b/"], "relative_to": "/b"})
    assert read("c").parts == {"inside": "/b/"}
    with pytest.raises(Unfit) as unfit:
        read("/c")
    assert unfit.value.would_pass == "a path inside /a or /b/"


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "c.d"]), max_size=12), st.booleans())
def test_the_normal_form_is_that_of_the_standard_library(segments: list[str], absolute: bool) -> None:
    value = ("/" if absolute else "") + "/".join(segments).lstrip("/")
    typed = path.reader({"relative_to": "/r/s"})(value)
    assert typed.value == posixpath.normpath("/r/s/" + value if not absolute else value)
    assert path.reader({})(typed.value).value == typed.value
