"""What one argument may be: as wide as what was seen, and no wider without saying so."""

from typing import Any

import pytest

from gateway.policy.constraints import Constraint, Values, folders, of_plain, of_typed, shown
from tests.policy.recorded import email, path, url

MANY = 60


def no_secret(_name: str, _text: str) -> bool:
    return False


def plain(name: str, *seen: Any, calls: int | None = None) -> Constraint:
    return of_plain(Values(name, seen, calls or len(seen), no_secret))


def typed(name: str, *values: Any) -> Constraint:
    return of_typed(name, [{**value.parts, "type": value.type, "value": value.value} for value in values], no_secret)


@pytest.mark.parametrize(
    ("name", "seen", "kind", "values"),
    [
        ("limit", (10,), "one_of", (10,)),
        ("limit", (10, 20, 20, 30), "one_of", (10, 20, 30)),
        ("limit", (5, 1, 9, 7), "range", (1, 9)),
        ("ratio", (0.5, 1, 2, 3), "range", (0.5, 3)),
        ("raw", (True,), "one_of", (True,)),
        ("raw", (True, False), "one_of", (False, True)),
        ("raw", (None, True), "one_of", (None, True)),
        ("tags", ([], []), "one_of", ([],)),
        ("sort", ("name", "size", "name"), "one_of", ("name", "size")),
        ("url", ("https://a.example/x", "https://a.example", "http://b.example:8080/y?z"), "text_origins",
         ("http://b.example:8080", "https://a.example")),
        ("where", ("/srv/docs/a.md", "/srv/docs/b/c.md"), "text_folders", ("/srv/docs",)),
        ("where", ("/srv/../etc/passwd", "/srv/a"), "one_of", ("/srv/../etc/passwd", "/srv/a")),
        ("path", tuple(f"notes/{number}.md" for number in range(99)), "text_folders", ("notes",)),
        ("repo", ("own/a", "own/b"), "one_of", ("own/a", "own/b")),
        ("path", ("a.md", "notes/b.md"), "text_folders", ("a.md", "notes")),
        ("to", ("ann@example.org",), "one_of", ("ann@example.org",)),
        ("query", ("SELECT a FROM b WHERE c = 1 ORDER BY d",), "one_of", ("SELECT a FROM b WHERE c = 1 ORDER BY d",)),
    ],
)  # fmt: skip
def test_values_become_the_narrowest_condition_that_a_person_would_write(
    name: str, seen: tuple[Any, ...], kind: str, values: tuple[Any, ...]
) -> None:
    found = plain(name, *seen)
    assert (found.kind, found.values) == (kind, values)


@pytest.mark.parametrize(
    ("name", "seen", "why"),
    [
        ("content", ("x",), "text that somebody wrote"),
        ("note", ({"digest": "sha256:0", "length": 70_000},), "text that somebody wrote"),
    ],
)
def test_text_that_somebody_wrote_is_left_open_and_said_so(name: str, seen: tuple[Any, ...], why: str) -> None:
    assert plain(name, *seen) == Constraint("free", why=why)


@pytest.mark.parametrize(
    "name",
    [
        "c",
        "anything",
        "SQL",
        "rawSQL",
        "CMD",
        "commands",
        "queries",
        "statements",
        "args",
        "program",
        "bash",
        "textQuery",
    ],
)
def test_long_text_is_open_under_no_name_that_does_not_say_that_somebody_wrote_it(name: str) -> None:
    once = plain(name, "import os; print(os.environ)\nand so on " * 3)
    assert (once.kind, len(once.values)) == ("one_of", 1)
    assert plain(name, *(f"print({number}) # one of very many" for number in range(MANY))).kind == "left"


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("to", tuple(f"ann{number}@example.org" for number in range(MANY))),
        ("command", ("x" * 1000,)),
        ("path", tuple(f"{number}.md" for number in range(MANY))),
        ("path", ({"digest": "sha256:0", "length": 70_000},)),
        ("code_comment", ("x" * 1000,)),
        ("mixed", ({"a": 1}, "b")),
        ("mixed", ([1], "b")),
        ("odd", ("a\u202eb",)),
    ],
)
def test_where_nothing_honest_can_be_said_nothing_is_suggested(name: str, seen: tuple[Any, ...]) -> None:
    found = plain(name, *seen)
    assert (found.kind, bool(found.why)) == ("left", True)


def test_what_looks_like_a_credential_is_never_written_down() -> None:
    def secret(name: str, text: str) -> bool:
        return text.startswith("ghp_") or name == "password"

    for name, text in (("key", "ghp_0"), ("password", "hunter2"), ("where", "ghp_1/a")):
        found = of_plain(Values(name, (text, "b"), 2, secret))
        assert found.kind == "left"
        assert text not in str(found)
    kept = of_typed("path", [{"type": "path", "value": "ghp_2/x", "inside": None}], secret)
    assert kept.kind == "left"


def test_typed_values_become_folders_origins_and_addresses() -> None:
    files = typed("path", path("/srv/docs/a/1.md", "/srv/docs"), path("/srv/docs/a/2.md", "/srv/docs"))
    assert files == Constraint("folders", ("/srv/docs/a",))
    pages = typed("url", url("b.example"), url("a.example", "http", 8080), url("b.example"))
    assert pages == Constraint("origins", (("http", "a.example", 8080), ("https", "b.example", 443)))
    assert typed("to", email("b@x.example"), email("a@x.example")).values == ("a@x.example", "b@x.example")


@pytest.mark.parametrize(
    "values",
    [
        [path("/a"), url("b.example")],
        [url(f"h{number}.example") for number in range(MANY)],
        [email(f"a{number}@x.example") for number in range(MANY)],
        [path("/a\u200b/b.md")],
    ],
)
def test_typed_values_that_are_too_many_or_of_several_types_are_left(values: list[Any]) -> None:
    assert typed("value", *values).kind == "left"


@pytest.mark.parametrize(
    ("name", "paths", "roots", "expected"),
    [
        ("path", ["/srv/a.md"], ["/srv"], ("/srv",)),
        ("path", ["/srv"], ["/srv"], ("/srv",)),
        ("path", ["/a.md"], [], ("/a.md",)),
        ("path", ["/"], ["/"], ("/",)),
        ("repo_path", ["/work/site.git"], ["/work"], ("/work/site.git",)),
        ("path", ["/srv/docs/notes"], ["/srv"], ("/srv/docs/notes",)),
        ("path", ["/srv/a/1.md", "/srv/a/b/2.md"], ["/srv"], ("/srv/a",)),
        ("path", ["notes/a.md", "../up.md"], [], ("../up.md", "notes")),
        ("path", [f"/srv/d{n}/x.md" for n in range(9)], ["/srv"], ("/srv",)),
        ("path", [f"/top{n}/x.md" for n in range(9)], [], tuple(f"/top{n}" for n in range(9))),
        ("path", ["/srv/a/1.md", "/srv/ab/1.md"], ["/srv"], ("/srv/a", "/srv/ab")),
    ],
)  # fmt: skip
def test_paths_become_the_few_folders_that_hold_them(
    name: str, paths: list[str], roots: list[str], expected: tuple[str, ...]
) -> None:
    assert folders(name, paths, roots) == expected


@pytest.mark.parametrize(("text", "seen"), [("a b\n", True), ("a\u200bb", False), ("\x1b[0m", False), ("é", True)])
def test_only_what_a_reader_sees_is_shown(text: str, *, seen: bool) -> None:
    assert shown(text) is seen
