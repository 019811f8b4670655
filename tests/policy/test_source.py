"""What a folder or tarball of policies holds."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.policy import archive, source


def test_rego_tests_and_data_are_told_apart_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    for path in ("a.rego", "a_test.rego", "team/b.rego", "data.json", "team/data.yaml", "README.md", ".git/c.rego"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("{}")
    found = source.read(tmp_path)
    assert list(found.rego) == ["a.rego", "team/b.rego"]
    assert list(found.tests) == ["a_test.rego"]
    assert list(found.data) == ["data.json", "team/data.yaml"]


def test_a_tarball_holds_the_same(tmp_path: Path) -> None:
    tarball = tmp_path / "bundle.tar.gz"
    tarball.write_bytes(archive.pack({"a.rego": b"package a", "data.json": b"{}", ".manifest": b"{}"}))
    found = source.read(tarball)
    assert (found.rego, found.data) == ({"a.rego": "package a"}, {"data.json": b"{}"})


def test_data_stands_at_the_path_of_its_folder_and_live_data_at_its_name() -> None:
    data = {"data.json": b'{"a": {"x": 1}}', "a/b/data.yaml": b"y: [1, text]"}
    assert source.merged(data, {"oncall": b'["ann"]'}, Path("p")) == {
        "a": {"x": 1, "b": {"y": [1, "text"]}},
        "oncall": ["ann"],
    }


@pytest.mark.parametrize(
    ("data", "live", "problem"),
    [
        ({"data.json": b'{"a": 1, "a": 2}'}, {}, "is not strict JSON"),
        ({"data.json": b'{"a": NaN}'}, {}, "is not strict JSON"),
        ({"data.json": b'{"a": 1e999}'}, {}, "is no JSON number"),
        ({"data.json": b"[1]"}, {}, "should be an object"),
        ({"data.json": b'{"a": 18446744073709551616}'}, {}, "given as text"),
        ({"data.json": b'{"a": [-18446744073709551616]}'}, {}, "/a/0: integers"),
        ({"data.yaml": b"a: 1\na: 2"}, {}, "is not YAML"),
        ({"data.yaml": b"a: [1"}, {}, "is not YAML"),
        ({"data.yaml": b"a: \x00"}, {}, "is not YAML"),
        ({"data.yaml": b"a: 2026-11-22"}, {}, "put it in quotes"),
        ({"data.yaml": b"1: a"}, {}, "put it in quotes"),
        ({"data.json": b'{"a": 1}', "data.yaml": b"a: 1"}, {}, "data.a is stated by another file too"),
        ({"data.json": b'{"a": {"b": 1}}', "a/data.json": b'{"b": {}}'}, {}, "data.a.b is stated by another file"),
        ({"data.json": b'{"oncall": {}}'}, {"oncall": b"[]"}, "data.oncall is stated by another file"),
        ({}, {"oncall": b"{"}, "policy.data.oncall"),
    ],
)
def test_data_that_could_be_read_in_two_ways_is_refused(
    data: dict[str, bytes], live: dict[str, bytes], problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        source.merged(data, live, Path("p"))
    assert problem in str(refused.value)


def test_a_yaml_fault_names_its_line() -> None:
    with pytest.raises(ConfigError) as refused:
        source.parsed(b"a: 1\nb: [\n", Path("data.yaml"))
    assert (refused.value.file, refused.value.line) == ("data.yaml", 3)


def test_rego_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_bytes(b"package a\n\n# \xff\n")
    with pytest.raises(ConfigError) as refused:
        source.read(tmp_path)
    assert (refused.value.problem, refused.value.line) == ("is not UTF-8", 3)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        source.read(tmp_path / "missing")
