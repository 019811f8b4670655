"""A suggestion as Rego: both engines take it, it allows what was seen, and nothing that differs."""

import random
from pathlib import Path
from typing import Any

import orjson
import pytest
import regorus

from gateway.model import JsonObject, Principal
from gateway.policy import bundle, checking, folder, probing, testing, wording
from gateway.policy.suggestion import suggest
from tests.commands import ran
from tests.policy.recorded import document, email, path, seen, url
from tests.policy.rego import opa_binary

STARTER = bundle.shipped() / "packs" / "starter"
A = {"/path": path("/srv/docs/notes/a.md", "/srv/docs")}
CALLS = [
    seen("write_file", {"path": "/srv/docs/notes/a.md", "content": "my password is hunter2"}, A),
    seen("write_file", {"path": "/srv/docs/notes/b.md", "content": "x", "mode": 7},
         {"/path": path("/srv/docs/notes/b.md", "/srv/docs")}),
    seen("read_many", {"paths": ["/srv/docs/a/1.md", "/srv/docs/b/2.md"]},
         {"/paths/0": path("/srv/docs/a/1.md", "/srv/docs"), "/paths/1": path("/srv/docs/b/2.md", "/srv/docs")}),
    seen("fetch", {"url": "https://a.example/x", "raw": True}, {"/url": url("a.example")}, upstream="web"),
    seen("send", {"to": "ann@example.org", "in": "x", "odd key": 1}, {"/to": email("ann@example.org")},
         upstream="mail"),
    seen("untyped", {"file": "/tmp/a/b.txt", "link": "https://b.example/c", "cc": []}, upstream="old"),
    seen("create", {"all": [{"name": "Ann", "kind": "person", "notes": ["likes tea"]}, {"name": "Bob", "kind": "x"}]},
         upstream="memory"),
    *[seen("page", {"n": number, "opts": {"deep": True}} if number % 2 else {"n": number}) for number in range(8)],
    seen("nothing", {}, who=Principal("role's", roles=("dev",))),
]  # fmt: skip


def written(place: Path, calls: Any = CALLS, **options: Any) -> Path:
    """The suggestion in a folder, beside the starter policy."""
    suggestion = suggest(calls, **options)
    assert suggestion.left == ()
    for name in ("call.rego", "result.rego", "data.json"):
        (place / name).write_text((STARTER / name).read_text())
    (place / wording.FILE).write_text(wording.policy(suggestion))
    (place / wording.TESTS).write_text(probing.tests(suggestion))
    return place


def effect(place: Path, asked: JsonObject) -> str:
    engine: regorus.Engine = bundle.compiled(bundle.load(place))
    engine.set_input_json(orjson.dumps(asked).decode())
    return str(orjson.loads(engine.eval_rule_as_json("data.bascule.call.decision"))["effect"])


async def nothing(argv: Any, timeout_s: float) -> Any:
    raise FileNotFoundError(argv, timeout_s)


@pytest.mark.parametrize("by", ["principal", "role"])
async def test_what_is_written_loads_checks_clean_and_passes_its_own_tests(tmp_path: Path, by: str) -> None:
    place = written(tmp_path, by=by)
    report = testing.run_tests(folder.load(place))
    assert (report.failed, report.passed > 10) == (0, True)
    assert [one.problem for one in await checking.check(place, nothing) if one.severity != "info"] == []


def test_the_same_traffic_passes_beside_the_starter_which_asked_for_it(tmp_path: Path) -> None:
    place = written(tmp_path)
    assert {effect(place, call.document) for call in CALLS} == {"allow"}
    (place / wording.FILE).unlink()
    assert {effect(place, call.document) for call in CALLS} == {"require_approval"}


@pytest.mark.parametrize(
    "asked",
    [
        document("write_file", {"path": "/srv/docs/other/a.md", "content": "x"},
                 {"/path": path("/srv/docs/other/a.md", "/srv/docs")}),
        document("write_file", {"path": "/srv/docs/notesx/a.md", "content": "x"},
                 {"/path": path("/srv/docs/notesx/a.md", "/srv/docs")}),
        document("write_file", {"path": "/srv/docs/notes/a.md", "content": "x"}),
        document("write_file", {"path": "/srv/docs/notes/a.md"}, A),
        document("write_file", {"path": "/srv/docs/notes/a.md", "content": "x", "mode": 8}, A),
        document("write_file", {"path": "/srv/docs/notes/a.md", "content": "x", "more": 1}, A),
        document("write_file", {"path": "/srv/docs/notes/a.md", "content": "x"}, A, who=Principal("eve")),
        document("write_file", {"path": "/srv/docs/notes/a.md", "content": "x"}, A, who=Principal("agent", "other")),
        document("write_file", {"path": "/srv/docs/notes/a.md", "content": "x"}, A, upstream="other"),
        document("read_many", {"paths": ["/srv/docs/a/1.md", "/etc/passwd"]},
                 {"/paths/0": path("/srv/docs/a/1.md", "/srv/docs"), "/paths/1": path("/etc/passwd")}),
        document("read_many", {"paths": ["/srv/docs/a/1.md", "/etc/passwd"]},
                 {"/paths/0": path("/srv/docs/a/1.md", "/srv/docs")}),
        document("fetch", {"url": "https://a.example.evil.example/x"}, {"/url": url("a.example.evil.example")},
                 upstream="web"),
        document("fetch", {"url": "http://a.example/x"}, {"/url": url("a.example", "http", 80)}, upstream="web"),
        document("send", {"to": "eve@example.org", "in": "x", "odd key": 1}, {"/to": email("eve@example.org")},
                 upstream="mail"),
        *(document("untyped", {"file": file, "link": "https://b.example/c", "cc": []}, upstream="old")
          for file in ("/tmp/b.txt", "/tmp/a/../b", "/tmp/a/%2e%2e/b", "/tmp/a/..\\b", "/tmp/ab", "~")),
        *(document("untyped", {"file": "/tmp/a/b.txt", "link": link, "cc": []}, upstream="old")
          for link in ("https://b.example.evil.example/", "https://b.example@evil.example/", "http://b.example/")),
        document("untyped", {"file": "/tmp/a/b.txt", "link": "https://b.example/c", "cc": ["eve"]}, upstream="old"),
        document("create", {"all": [{"name": "Ann", "kind": "person"}, {"name": "Eve", "kind": "x"}]},
                 upstream="memory"),
        document("create", {"all": [{"name": "Ann", "kind": "person", "admin": True}]}, upstream="memory"),
        document("page", {"n": 9}),
        document("page", {"n": "3"}),
        document("page", {"n": 3, "opts": {"deep": False}}),
        document("page", {"n": 3, "opts": {}}),
    ],
)  # fmt: skip
def test_a_changed_argument_is_asked_for_as_before(tmp_path: Path, asked: JsonObject) -> None:
    assert effect(written(tmp_path), asked) == "require_approval"


@pytest.mark.slow
async def test_a_real_opa_takes_it_strictly_formats_it_no_further_and_answers_the_same(tmp_path: Path) -> None:
    place = written(tmp_path)
    for point in ("call", "list", "result"):
        (place / f"entry_{point}.rego").write_text((bundle.shipped() / f"{point}.rego").read_text())
    opa, schemas = opa_binary(), str(bundle.shipped() / "schemas")
    formatted = await ran((opa, "fmt", "--diff", str(place / wording.FILE), str(place / wording.TESTS)))
    assert (formatted.code, formatted.out) == (0, "")
    checked = await ran((opa, "check", "--strict", "-s", schemas, str(place)))
    assert (checked.code, checked.err) == (0, "")
    tested = await ran((opa, "test", str(place)))
    assert tested.code == 0, tested.out
    assert "FAIL" not in tested.out


def test_no_text_that_was_left_open_is_copied(tmp_path: Path) -> None:
    place = written(tmp_path)
    for name in (wording.FILE, wording.TESTS):
        text = (place / name).read_text()
        assert "hunter2" not in text
        assert "likes tea" not in text


@pytest.mark.parametrize("name", ["a\nallow contains 1 if true", 'a"b', "in", "a.b", "", "~/", "value_1", "data"])
def test_whatever_an_argument_is_called_is_only_a_name(tmp_path: Path, name: str) -> None:
    calls = [seen("set", {name: {"x": [1]}}), seen("set", {})]
    place = written(tmp_path, calls)
    assert testing.run_tests(folder.load(place)).failed == 0
    assert effect(place, calls[0].document) == "allow"
    assert effect(place, document("set", {name: {"x": [2]}})) == "require_approval"


def test_whatever_a_tool_or_principal_is_called_is_only_a_name(tmp_path: Path) -> None:
    odd = 'x" if true\n}\nallow contains "all'
    calls = [seen(odd, {"content": "x"}, upstream=odd, who=Principal(odd))]
    place = written(tmp_path, calls)
    assert effect(place, calls[0].document) == "allow"
    assert effect(place, document("other", {})) == "require_approval"


def test_what_is_left_to_a_person_is_said_on_one_line_each() -> None:
    text = wording.policy(suggest([seen("run\n}", {"command": "x" * 500})]))
    assert "#   agent, files/run\\n}, 1 calls: argument command has 1 different" in text


def anything(rng: random.Random, depth: int = 0) -> Any:
    """A value as an argument may have it."""
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 7:
        return {rng.choice(NAMES): anything(rng, depth + 1) for _ in range(rng.randrange(3))}
    return rng.choice(
        [None, True, rng.randrange(-9, 9), rng.random(), "/srv/a/b.md", "https://a.example/x", "x", 2**60]
    )


NAMES = ("path", "content", "to", "n", "a b", "in", "x/y", "~", "é", "value_2")


@pytest.mark.slow
def test_whatever_was_seen_passes_or_is_left_and_never_breaks_the_policy(tmp_path: Path) -> None:
    rng = random.Random(seed := random.SystemRandom().randrange(10**9))
    print("seed", seed)
    made = 0
    for round_ in range(40):
        calls = [seen("t", {rng.choice(NAMES): anything(rng) for _ in range(3)}) for _ in range(rng.randrange(1, 6))]
        suggestion = suggest(calls)
        assert len(suggestion.grants) + len(suggestion.left) == 1, seed
        if suggestion.left:
            continue
        made += 1
        (folder_ := tmp_path / str(round_)).mkdir()
        place = written(folder_, calls)
        assert {effect(place, call.document) for call in calls} == {"allow"}, (seed, round_)
        assert testing.run_tests(folder.load(place)).failed == 0, (seed, round_)
    assert made > 5, seed
