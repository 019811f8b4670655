"""The tarball for an OPA server: what is in it, and the command that writes it."""

import gzip
import json
import sys
from pathlib import Path

import orjson
import pytest

from gateway import cli
from gateway.errors import ConfigError
from gateway.policy import archive, opabundle
from gateway.policy.bundle import Bundle, load
from tests import path

POLICY = 'package bascule.call\n\nallow contains "granted" if input.principal.id in data.grants\n'


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "call.rego").write_text(POLICY)
    (folder / "call_test.rego").write_text("package bascule.call_test\n\ntest_x if true\n")
    (folder / "data.json").write_text('{"grants": ["ann"], "largest": 18446744073709551615}')
    return folder


def test_it_holds_the_entries_the_rego_and_the_data_under_the_digest(policies: Path) -> None:
    bundle = load(policies)
    files = archive.unpack(opabundle.tarball(bundle))
    assert {name: text for name, text in files.items() if name.endswith(".rego")} == {
        name: text.encode() for name, text in bundle.files.items()
    }
    assert {"bascule/call.rego", "bascule/list.rego", "bascule/result.rego", "policies/call.rego"} < set(files)
    assert "policies/call_test.rego" not in files
    assert orjson.loads(files["data.json"]) == bundle.data == {"grants": ["ann"], "largest": 2**64 - 1}
    assert orjson.loads(files[".manifest"]) == {"revision": bundle.digest, "roots": [""], "rego_version": 1}


def test_the_same_bundle_gives_the_same_gzip(policies: Path) -> None:
    one, other = (opabundle.tarball(load(policies)) for _ in range(2))
    assert one == other
    assert gzip.decompress(one)[257:262] == b"ustar"


def test_the_bundle_as_it_was_stored_gives_the_same_tarball(policies: Path) -> None:
    bundle = load(policies)
    assert opabundle.tarball(Bundle.from_content(bundle.content)) == opabundle.tarball(bundle)


def test_live_data_is_in_the_tarball_and_in_the_revision(policies: Path, tmp_path: Path) -> None:
    (tmp_path / "on_call.json").write_text('["ben"]')
    built = opabundle.build(policies, {"on_call": tmp_path / "on_call.json"})
    assert orjson.loads(archive.unpack(built.content)["data.json"])["on_call"] == ["ben"]
    assert built.revision == load(policies, {"on_call": b'["ben"]'}, engine="opa").digest
    assert built.revision != opabundle.build(policies, {}).revision


def test_the_revision_is_the_one_that_a_gateway_of_either_engine_loads(policies: Path) -> None:
    assert opabundle.build(policies, {}).revision == load(policies).digest == load(policies, engine="opa").digest


def test_what_only_opa_can_run_is_built(policies: Path) -> None:
    (policies / "uri.rego").write_text(
        'package bascule.call\n\ndeny contains "x" if uri.parse(input.args.u).host == "x"\n'
    )
    with pytest.raises(ConfigError):
        load(policies)
    assert "policies/uri.rego" in archive.unpack(opabundle.build(policies, {}).content)


def test_live_data_that_cannot_be_read_is_named(policies: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        opabundle.build(policies, {"on_call": policies / "none.json"})


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bascule", "policy", "build", *words])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def configured(policies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration that names live data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BASCULE_CONFIG", raising=False)
    (tmp_path / "on_call.json").write_text('["ben"]')
    (tmp_path / "bascule.yaml").write_text(
        "version: 1\nstate: .bascule\naudit: {origin: example.org/bascule}\n"
        "policy: {engine: opa, url: http://127.0.0.1:8181, data: [{name: on_call, file: on_call.json}]}\n"
    )
    return tmp_path


def test_the_command_writes_what_is_configured_with_its_live_data(
    configured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built = opabundle.build(configured / "policies", {"on_call": configured / "on_call.json"})
    assert command(monkeypatch, "--out", "b.tar.gz") == 0
    assert (configured / "b.tar.gz").read_bytes() == built.content
    assert capsys.readouterr().out == f"b.tar.gz: {len(built.content)} bytes\nrevision: {built.revision}\n"
    assert not (configured / ".bascule").exists()
    assert [file.name for file in configured.glob("b.tar.gz*")] == ["b.tar.gz"]


def test_a_folder_given_needs_no_configuration(
    policies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    built = opabundle.build(policies, {})
    assert command(monkeypatch, "--out", "b.tar.gz", "--json", "policies") == 0
    told = {"revision": built.revision, "file": "b.tar.gz", "bytes": len(built.content)}
    assert json.loads(capsys.readouterr().out) == told
    assert (tmp_path / "b.tar.gz").read_bytes() == built.content


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--out", "none/b.tar.gz", "policies"), "cannot be written"),
        (("--out", "b.tar.gz", "none"), "no policies at none"),
        (("policies",), "--out"),
    ],
)
def test_what_cannot_be_built_ends_with_2_and_writes_nothing(
    policies: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert command(monkeypatch, *words) == 2
    assert why in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_policies_that_would_not_load_leave_the_old_tarball(
    configured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (configured / "b.tar.gz").write_bytes(b"old")
    (configured / "policies" / "data.json").write_text('{"grants": 1, "grants": 2}')
    assert command(monkeypatch, "--out", "b.tar.gz") == 2
    assert "data.json" in capsys.readouterr().err
    assert (configured / "b.tar.gz").read_bytes() == b"old"


async def test_a_running_gateway_builds_what_it_is_configured_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway import admin

    monkeypatch.chdir(tmp_path)
    async with path.data_path(tmp_path) as made:
        told = await admin.policy_build(made.gw, operator="os:test")
        assert told["revision"] == made.gw.pdp.bundle.digest
