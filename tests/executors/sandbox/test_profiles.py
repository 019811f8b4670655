"""Sandbox profiles as files: read strictly, named by what they say."""

from pathlib import Path

import orjson
import pytest

from gateway.errors import ConfigError
from gateway.executors.sandbox.profiles import SYSTEM, Profile, json_schema, load_profile, parse

SHIPPED = Path(__file__).resolve().parents[3] / "sandboxes"


def test_the_shipped_profile_says_what_the_program_takes_without_one() -> None:
    assert load_profile("default", [SHIPPED]) == Profile()
    assert Profile().runtime_ro == SYSTEM


def test_the_exported_schema_is_that_of_the_program() -> None:
    assert orjson.loads((SHIPPED / "schema.json").read_bytes()) == json_schema()


def test_the_first_folder_that_has_it_counts(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("tmp_mb: 7\n")
    assert load_profile("default", [tmp_path / "missing", tmp_path, SHIPPED]).tmp_mb == 7


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tmp_mbs: 3", "x.yaml:1:1: tmp_mbs: unknown key; did you mean 'tmp_mb'?"),
        ("limits: {pid: 3}", "x.yaml:1:10: limits.pid: unknown key; did you mean 'pids'?"),
        ("zzz: 3", "x.yaml:1:1: zzz: unknown key; known: runtime_ro, hostname, tmp_mb"),
        ("tmp_mb: 3\ntmp_mb: 4", "x.yaml:2:1: tmp_mb: given twice, first in line 1"),
        ("tmp_mb: '3'", "x.yaml:1:9: tmp_mb: should be a valid integer"),
        ("tmp_mb: 0", "x.yaml:1:9: tmp_mb: should be greater than or equal to 1"),
        ("tmp_mb: 99999999999999999999", "x.yaml:1:1: holds a number that does not fit 64 bits"),
        ("limits: {pids: 3}", "x.yaml:1:16: limits.pids: should be greater than or equal to 4"),
        ("hostname: 'a b'", "hostname: String should match pattern"),
        ("extra_deny: [ptrase]", "extra_deny[0]: is no system call; did you mean 'ptrace'?"),
        ("env: {'A B': x}", "env.A B: is not the name of a variable"),
        ('env: {A: "x\\0y"}', "env.A: holds a zero byte"),
        ("runtime_ro: [usr]", "runtime_ro[0]: should be an absolute path without . or .. in it"),
        ("runtime_ro: [/usr/../etc]", "runtime_ro[0]: should be an absolute path without . or .. in it"),
        ("runtime_ro: [/usr/]", "runtime_ro[0]: should be an absolute path without . or .. in it"),
        ("runtime_ro: [/]", "runtime_ro[0]: is no part of a runtime"),
        ("runtime_ro: [/etc]", "runtime_ro[0]: is no part of a runtime"),
        ("runtime_ro: [/home/ann]", "runtime_ro[0]: is no part of a runtime"),
        ("runtime_ro: [/proc/sys]", "runtime_ro[0]: is no part of a runtime"),
        ("runtime_ro: [/var/run]", "runtime_ro[0]: is no part of a runtime"),
        ("- 1", "x.yaml:1: should be a mapping"),
        ("", "x.yaml:1: should be a mapping"),
        ("a: [", "not YAML"),
        ("a: &b 1", "anchors and aliases are not read here"),
    ],
)
def test_a_wrong_profile_is_refused_with_what_would_be_right(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(text, "x.yaml")
    assert problem in str(refusal.value)


def test_all_faults_are_told_at_once_in_their_order() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse("shm_mb: 0\ntmp_mb: 0\n", "x.yaml")
    assert [line.partition(": ")[0] for line in str(refusal.value).splitlines()] == ["x.yaml:1:9", "x.yaml:2:9"]


@pytest.mark.parametrize("name", ["none", "", "../default", "a/b", "A", ".hidden", "a.b", "x" * 41])
def test_what_cannot_be_a_profiles_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a sandbox profile"):
        load_profile(name, [SHIPPED])


def test_an_unknown_profile_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="there is no sandbox profile 'defaults'; did you mean 'default'"):
        load_profile("defaults", [SHIPPED])


def test_without_any_profile_there_is_none_to_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known: none"):
        load_profile("default", [tmp_path])


def test_a_file_that_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_profile("bad", [tmp_path])
    with pytest.raises(ConfigError, match="Is a directory"):
        load_profile("folder", [tmp_path])


def test_the_digest_names_the_content_and_not_the_file() -> None:
    one = parse("tmp_mb: 3\nshm_mb: 4\n", "x.yaml")
    assert one.digest == parse("# the same\nshm_mb: 4\ntmp_mb: 3\n", "y.yaml").digest
    assert one.digest != parse("tmp_mb: 3\nshm_mb: 5\n", "x.yaml").digest
    assert one.digest.startswith("sha256:")
