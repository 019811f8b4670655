"""What a folder or tarball of policies holds, and which data is no data."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.policy import archive, source
from tests.policy.folders import written

FILES = {
    "a.rego": "package a",
    "a_test.rego": "package a_test",
    "deep/b.rego": "package b",
    "data.json": '{"x": 1}',
    "deep/data.yaml": "y: 2\n",
    "other/data.yml": "z: 3\n",
    "README.md": "not a policy",
    "more.json": "{}",
    "schemas/input.json": "{}",
    ".hidden.rego": "package hidden",
    ".git/c.rego": "package c",
    "deep/.more/data.json": "{}",
}


def packed(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    place = folder / "bundle.tar.gz"
    place.write_bytes(gzip.compress(archive.pack({path: text.encode() for path, text in files.items()})))
    return place


@pytest.mark.parametrize("put", [written, packed])
def test_a_folder_and_a_tarball_hold_the_same(tmp_path: Path, put: Any) -> None:
    found = source.read(put(tmp_path / "policies", FILES))
    assert found.rego == {"a.rego": "package a", "deep/b.rego": "package b"}
    assert found.tests == {"a_test.rego": "package a_test"}
    assert found.data == {"data.json": b'{"x": 1}', "deep/data.yaml": b"y: 2\n", "other/data.yml": b"z: 3\n"}


def test_a_folder_named_as_a_policy_is_no_policy(tmp_path: Path) -> None:
    (tmp_path / "a.rego").mkdir()
    assert source.read(tmp_path) == source.Found({}, {}, {})


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory") as refused:
        source.read(tmp_path / "none")
    assert refused.value.file == str(tmp_path / "none")


def test_what_is_no_tarball_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text("package a")
    with pytest.raises(ConfigError, match="is not a readable bundle tarball") as refused:
        source.read(tmp_path / "a.rego")
    assert refused.value.file == str(tmp_path / "a.rego")


def test_rego_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_bytes(b"package a\n\nx := \xff\n")
    with pytest.raises(ConfigError, match="is not UTF-8") as refused:
        source.read(tmp_path)
    assert (refused.value.file, refused.value.line) == (str(tmp_path / "a.rego"), 3)


HERE = Path("here")


def test_data_stands_at_the_path_of_its_folder_and_live_data_at_its_name() -> None:
    data = {"data.json": b'{"a": {"x": 1}}', "a/data.yaml": b"y: 2\n", "b/c/data.json": b"[1]"}
    whole = source.merged(data, {"groups": b'{"admin": ["ann"]}', "b": b'{"d": 1}'}, HERE)
    assert whole == {"a": {"x": 1, "y": 2}, "b": {"c": [1], "d": 1}, "groups": {"admin": ["ann"]}}


def test_no_data_is_an_empty_document() -> None:
    assert source.merged({}, {}, HERE) == {}


@pytest.mark.parametrize(
    ("data", "live", "file", "what"),
    [
        ({"data.json": b'{"a": 1}', "data.yaml": b"a: 1"}, {}, "here/data.yaml", "data.a"),
        ({"data.json": b'{"a": {"b": 1}}', "a/data.json": b'{"b": {"c": 1}}'}, {}, "here/data.json", "data.a.b"),
        ({"data.json": b'{"a": {"b": {}}}', "a/data.json": b'{"b": 1}'}, {}, "here/data.json", "data.a.b"),
        ({"data.json": b'{"a": 1}'}, {"a": b"2"}, "policy.data.a", "data.a"),
        ({"data.json": b'{"a": {"b": 1}}'}, {"a": b'{"b": 1}'}, "policy.data.a", "data.a.b"),
    ],
)
def test_the_same_thing_stated_twice_is_refused(
    data: dict[str, bytes], live: dict[str, bytes], file: str, what: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        source.merged(data, live, HERE)
    assert refused.value.problem == f"{what} is stated by another file too"
    assert refused.value.file == file


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null"])
def test_data_at_the_root_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ConfigError, match="should be an object: its keys are the names below `data`") as refused:
        source.merged({"data.json": body}, {}, HERE)
    assert refused.value.file == "here/data.json"


def test_wrong_live_data_is_named_by_its_name() -> None:
    with pytest.raises(ConfigError, match="is not strict JSON") as refused:
        source.merged({}, {"groups": b"{"}, HERE)
    assert refused.value.file == "policy.data.groups.json"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, "x", true, null]}', {"a": [1, 2.5, "x", True, None]}),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
    ],
)
def test_json_is_read(body: bytes, value: object) -> None:
    assert source.parsed(body, Path("data.json")) == value


@pytest.mark.parametrize("ending", ["yaml", "yml"])
def test_yaml_is_read_as_far_as_it_says_json(ending: str) -> None:
    body = b"a: [1, 2.5, x, true, null]\nb: yes\nc: &c {d: 1}\ne: *c\n"
    assert source.parsed(body, Path(f"data.{ending}")) == {
        "a": [1, 2.5, "x", True, None],
        "b": "yes",
        "c": {"d": 1},
        "e": {"d": 1},
    }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "is not strict JSON: EOF"),
        (b'{"a": 1, "a": 1}', "is not strict JSON: Detected duplicate key"),
        (b'{"a": {"b": 1, "b": 2}}', "is not strict JSON: Detected duplicate key"),
        (b'{"a": NaN}', "is not strict JSON"),
        (b'{"a": 1,}', "is not strict JSON"),
        (b'{"a": "\xff"}', "is not strict JSON"),
        (b"[" * 5_000, "is not strict JSON: recursion limit exceeded"),
        (b"1 2", "is not strict JSON"),
        (b'{"a": 1e400}', "/a: inf is no JSON number"),
        (b'{"a": [0, {"b": 18446744073709551616}]}', "/a/1/b: integers beyond 64 bits should be given as text"),
        (b"-9223372036854775809", "/: integers beyond 64 bits should be given as text"),
    ],
)
def test_what_is_no_strict_json_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        source.parsed(body, Path("a/data.json"))
    assert refused.value.problem.startswith(why)
    assert refused.value.file == "a/data.json"


@pytest.mark.parametrize(
    ("body", "line", "column", "why"),
    [
        (b"a: 1\nb: [\n", 3, 1, "is not YAML: "),
        (b"a: 1\na: 2\n", 2, 1, "is not YAML: found duplicate key"),
        (b"a: !!python/name:os.system 1\n", 1, 4, "is not YAML: could not determine a constructor"),
        (b"a: 1\n---\nb: 2\n", 2, 1, "is not YAML: but found another document"),
        (b"a: *b\n", 1, 4, "is not YAML: found undefined alias"),
        (b"a: \x01\n", 0, 0, "is not YAML"),
        (b"a: \xff\n", 0, 0, "is not YAML"),
        (b"a: 2020-01-01\n", 0, 0, "/a: 2020-01-01 is no JSON value: put it in quotes"),
        (b"a: !!binary aGk=\n", 0, 0, "/a: b'hi' is no JSON value"),
        (b"a: [!!set {x}]\n", 0, 0, "/a/0: "),
        (b"2020-01-01\n", 0, 0, "/: 2020-01-01 is no JSON value"),
        (b"a: {1: x}\n", 0, 0, "/a: key 1 should be text: put it in quotes"),
        (b"1: x\n", 0, 0, "/: key 1 should be text: put it in quotes"),
        (b"a: .nan\n", 0, 0, "/a: nan is no JSON number"),
        (b"a: -.inf\n", 0, 0, "/a: -inf is no JSON number"),
        (b"a: 18446744073709551616\n", 0, 0, "/a: integers beyond 64 bits should be given as text"),
        (b"a: &a [*a]\n", 0, 0, "is nested too deep, or holds itself"),
        (b"[" * 5_000, 0, 0, "is nested too deep, or holds itself"),
    ],
)
def test_what_is_no_json_in_yaml_is_refused_with_its_place(body: bytes, line: int, column: int, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        source.parsed(body, Path("data.yaml"))
    assert refused.value.problem.startswith(why)
    assert (refused.value.file, refused.value.line, refused.value.column) == ("data.yaml", line, column)
