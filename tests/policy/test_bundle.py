"""Bundles: what is in one, what its digest covers, and how a fault is told."""

import hashlib
from pathlib import Path

import pytest
import regorus

from gateway.errors import ConfigError
from gateway.model import Point
from gateway.policy import archive, bundle
from gateway.policy.bundle import Bundle, compiled, load
from tests.policy.rego import loaded, refusal

RULE = 'deny contains "x" if input.args.n == data.limit'


def test_a_bundle_holds_the_entries_the_users_files_and_the_data(tmp_path: Path) -> None:
    (tmp_path / "a_test.rego").write_text("package a_test\n")
    made = loaded(tmp_path, RULE, data='{"limit": 5}')
    assert sorted(made.files) == [*(f"bascule/{point}.rego" for point in sorted(Point)), "policies/a.rego"]
    assert made.data == {"limit": 5}
    assert list(made.tests) == ["a_test.rego"]


def test_the_digest_is_that_of_the_content_and_of_nothing_else(tmp_path: Path) -> None:
    made = loaded(tmp_path, RULE, data='{"limit": 5, "a": 1}')
    assert made.digest == "sha256:" + hashlib.sha256(made.content).hexdigest()
    assert loaded(tmp_path, RULE, data='{"a":1,"limit":5}').digest == made.digest
    (tmp_path / "a_test.rego").write_text("package a_test\n")
    assert load(tmp_path).digest == made.digest


@pytest.mark.parametrize(
    ("rule", "data"), [(RULE + " ", '{"limit": 5}'), (RULE, '{"limit": 6}'), (RULE, '{"limit": "5"}')]
)
def test_another_byte_of_rego_or_data_is_another_digest(tmp_path: Path, rule: str, data: str) -> None:
    assert loaded(tmp_path, RULE, data='{"limit": 5}').digest != loaded(tmp_path, rule, data=data).digest


def test_live_data_is_in_the_digest(tmp_path: Path) -> None:
    loaded(tmp_path, RULE)
    one, other = (load(tmp_path, {"oncall": body}) for body in (b'["ann"]', b'["bob"]'))
    assert one.data["oncall"] == ["ann"]
    assert one.digest != other.digest


def test_a_bundle_is_built_again_from_its_content(tmp_path: Path) -> None:
    made = loaded(tmp_path, RULE, data='{"limit": 5}')
    again = Bundle.from_content(made.content)
    assert (again.files, again.data, again.digest, again.content) == (made.files, made.data, made.digest, made.content)
    engine = compiled(again)
    engine.set_input_json('{"args": {"n": 5}}')
    assert '"deny"' in engine.eval_rule_as_json("data.bascule.call.decision")


def test_a_tarball_is_loaded_like_its_folder(tmp_path: Path) -> None:
    made = loaded(tmp_path, RULE)
    tarball = tmp_path / "bundle.tar.gz"
    tarball.write_bytes(archive.pack({name: (tmp_path / name).read_bytes() for name in ("a.rego", "data.json")}))
    assert load(tarball).digest == made.digest


def test_an_empty_folder_is_the_entries_alone(tmp_path: Path) -> None:
    assert sorted(load(tmp_path).files) == [f"bascule/{point}.rego" for point in sorted(Point)]


def test_the_shipped_policies_and_the_points_are_the_same_set() -> None:
    shipped = {path.stem for path in bundle.shipped().glob("*.rego") if not path.stem.endswith("_test")}
    assert shipped == {str(point) for point in Point}


def test_data_may_not_stand_where_the_policies_are(tmp_path: Path) -> None:
    assert "data.bascule is where the policies are" in refusal(tmp_path, RULE, data='{"bascule": {}}')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p := ", "a.rego:4:1: is not valid Rego: expecting expression"),
        ("p := (", "is not valid Rego"),
        (
            'deny contains $"no {input.x}" if true',
            'a.rego:3:15: a text with `$"…"` is newer than the engine in process',
        ),
        ("deny contains 1 if not { input.x; input.y }", "a.rego:3:"),
        ('deny contains "x" if { input.x', "is not valid Rego"),
        ("p := 1 if {\n\tinput.a == 1 2\n}", "a.rego:4"),
        ("p := 18446744073709551616", "a.rego"),
    ],
)
def test_a_fault_is_one_line_with_its_place_in_our_words(tmp_path: Path, text: str, said: str) -> None:
    told = refusal(tmp_path, text)
    assert said in told
    assert "\n" not in told
    assert "backtrace" not in told


def test_what_only_a_newer_opa_reads_is_loaded_for_opa(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text('package bascule.call.pay\n\ndeny contains $"no {input.x}" if true\n')
    made = load(tmp_path, engine="opa")
    assert "data.bascule.call.pay.deny" in made.files["bascule/teams_call.rego"]
    with pytest.raises(ConfigError):
        load(tmp_path)


def test_for_opa_too_the_entry_is_the_gateways_own(tmp_path: Path) -> None:
    (tmp_path / "a.rego").write_text('package bascule.call\n\ndecision := $"x" if true\n')
    with pytest.raises(ConfigError, match="is the gateway's own"):
        load(tmp_path, engine="opa")


def test_a_panic_of_the_engine_at_load_is_a_fault_of_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panicking:
        def __init__(self) -> None:
            self._real = regorus.Engine()

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def eval_rule_as_json(self, _: str) -> str:
            raise type("PanicException", (BaseException,), {})("could not schedule")

    loaded(tmp_path, RULE)
    monkeypatch.setattr(bundle.regorus, "Engine", Panicking)
    with pytest.raises(ConfigError, match="breaks down on the rules of `list`: could not schedule"):
        load(tmp_path)


def test_what_ends_the_process_is_no_fault_of_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopping:
        def __init__(self) -> None:
            self._real = regorus.Engine()

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def eval_rule_as_json(self, _: str) -> str:
            raise KeyboardInterrupt

    loaded(tmp_path, RULE)
    monkeypatch.setattr(bundle.regorus, "Engine", Stopping)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path)


def test_an_error_without_a_place_is_told_with_the_file() -> None:
    assert str(bundle.fault("something\nelse", "a.rego", "")) == "a.rego: is not Rego that can be loaded: something"
