"""URI templates as patterns: whose a URI is, in time that is linear in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry import templates
from gateway.registry.templates import LONGEST, MOST, compiled, matching


@pytest.mark.parametrize(
    ("template", "uri", "fits"),
    [
        ("file:///{name}", "file:///a", True),
        ("file:///{name}", "file:///a%20b.txt", True),
        ("file:///{name}", "file:///", False),
        ("file:///{name}", "file:///a/b", False),
        ("file:///{name}", "FILE:///a", False),
        ("file:///{name}", "xfile:///a", False),
        ("file:///{name}.txt", "file:///a-txt", False),
        ("file:///{+path}", "file:///a/b/c", True),
        ("file:///{path*}", "file:///a/b/c", True),
        ("file:///{a,b}", "file:///1,2", True),
        ("file:///{name:3}", "file:///abc", True),
        ("doc://x{#part}", "doc://x#a/b", True),
        ("doc://x{#part}", "doc://x", True),
        ("doc://x{.ext}", "doc://x.md", True),
        ("doc://x{/a,b}", "doc://x/1/2", True),
        ("doc://x{/a,b}", "doc://x", True),
        ("doc://x{;v}", "doc://x;v=1", True),
        ("doc://x{?q,lang}", "doc://x?q=1&lang=en", True),
        ("doc://x{?q}", "doc://x", True),
        ("doc://x{?q}", "doc://xq=1", False),
        ("doc://x?fixed=1{&q}", "doc://x?fixed=1&q=2", True),
        ("doc://plain", "doc://plain", True),
        ("doc://plain", "doc://plainer", False),
        ("doc://(a|b)+.*{x}", "doc://(a|b)+.*1", True),
        ("doc://(a|b)+.*{x}", "doc://a1", False),
        ("doc://ü/{x}", "doc://ü/ä", True),
    ],
)
def test_a_uri_fits_the_template_it_could_have_been_made_from(template: str, uri: str, fits: bool) -> None:
    assert (matching(uri, compiled([template])) == (template,)) is fits


@pytest.mark.parametrize(
    "text",
    ["{", "}", "{}", "{{x}}", "a{x", "a}x", "{x y}", "{=x}", "{!x}", "{|x}", "{x}" * 33, "a" * (LONGEST + 1), "a\0{x}"],
    ids=lambda text: ascii(text[:8]),
)
def test_a_text_that_is_no_template_or_too_large_fits_nothing(text: str) -> None:
    assert compiled([text]) == ()


def test_a_template_that_is_too_large_once_compiled_fits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "_MEMORY", 1_000)
    assert compiled(["a:///" + "x" * 1_000 + "{+y}", "a:///{x}"])[0].text == "a:///{x}"


@pytest.mark.parametrize("uri", ["", "a\n", "a\0", "\ud800", "a" * (LONGEST + 1)], ids=lambda uri: ascii(uri[:4]))
def test_an_odd_uri_fits_nothing(uri: str) -> None:
    assert matching(uri, compiled(["{+all}", "{x}", "a"])) == ()


def test_only_so_many_templates_are_compiled() -> None:
    assert len(compiled(f"a:///{number}/{{x}}" for number in range(MOST + 10))) == MOST


def test_all_templates_that_fit_are_told_in_their_order() -> None:
    several = compiled(["b:///{x}", "a:///{x}", "a:///{+x}", "a:///y"])
    assert matching("a:///y", several) == ("a:///{x}", "a:///{+x}", "a:///y")


def test_the_worst_template_takes_no_longer_than_its_length() -> None:
    (worst,) = compiled(["{+a}" * 32])
    assert worst.matches("a" * LONGEST)
    assert not worst.matches("a" * 31)


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_text_crashes(template: str, uri: str) -> None:
    assert matching(uri, compiled([template])) in ((), (template,))


@given(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(alphabet="abc%.-~", min_size=1, max_size=20))
def test_what_is_put_in_for_a_simple_expression_fits(scheme: str, value: str) -> None:
    assert matching(f"{scheme}:///{value}/end", compiled([f"{scheme}:///{{x}}/end"]))
