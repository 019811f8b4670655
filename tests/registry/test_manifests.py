"""Manifests: what is stated becomes the noun, and what is wrong is told with its line and the nearest known key."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.model import Manifest, TypeSpec
from gateway.registry import manifests, pins

WHOLE = """
tools:
  put:
    effects: [write, egress]
    reversal: undo
    idempotent: true
    types:
      /path: {type: path, roots: [/srv/docs], relative_to: /srv/docs}
      /to/*: email
    destinations: [/to]
    trust: trusted
    labels: [private, crm]
    store: notes
    state: {open: {tool: status, args: {id: 1}, pointer: /open}}
    scope: ["k8s:ns/web"]
    snapshot: {tool: k8s.get, args: {name: web}}
    undo: {tool: k8s.apply, args_from: snapshot, verify: digest_equals}
    probe: {tool: k8s.get, done_when: {pointer: /status/phase, equals: Ready}}
    health: {tool: prom.query, severity: {pointer: /value}, require: not_worse, max_age_s: 30, settle_s: 60,
             samples: 3, tolerance: 0.0}
    limits: {max_seconds: 600, max_retries: 3}
  get: {effects: [read], trust: untrusted, inferred: true}
"""


def test_what_is_stated_becomes_the_noun_and_the_whole_entry_is_kept() -> None:
    read = manifests.read(WHOLE, "crm.yaml")
    put = read["put"]
    assert put.effects == ("write", "egress")
    assert put.reversal == "undo"
    assert put.types == {
        "/path": TypeSpec("path", {"roots": ["/srv/docs"], "relative_to": "/srv/docs"}),
        "/to/*": TypeSpec("email", {}),
    }
    assert (put.destinations, put.trust, put.labels, put.inferred) == (("/to",), "trusted", ("crm", "private"), False)
    assert put.stated["health"]["samples"] == 3
    assert put.digest == pins.digest(put.stated)
    assert (read["get"].labels, read["get"].inferred, read["get"].reversal) == (("untrusted",), True, "unknown")
    assert read["get"].digest != put.digest


def test_no_manifest_means_effects_and_reversal_are_unknown() -> None:
    known = manifests.Manifests({"files": {}})
    assert known.of("files", "a") == known.of("crm", "b") == Manifest()


def test_every_file_of_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "crm.yaml").write_text("tools: {a: {effects: [read]}}")
    (tmp_path / "files.yml").write_text("tools: {b: {}}")
    (tmp_path / "schema.json").write_text("{}")
    loaded = manifests.load(tmp_path)
    assert {upstream: set(tools) for upstream, tools in loaded.tools.items()} == {"crm": {"a"}, "files": {"b"}}
    assert manifests.load(tmp_path / "missing").tools == {}


def test_two_files_for_one_upstream_are_refused(tmp_path: Path) -> None:
    for suffix in ("yaml", "yml"):
        (tmp_path / f"crm.{suffix}").write_text("tools: {}")
    with pytest.raises(ConfigError, match=r"crm has two manifests"):
        manifests.load(tmp_path)


TOOL = "tools:\n  a:\n    "


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TOOL + "efects: [read]", "f.yaml:3:5: tools.a.efects: unknown key; the nearest is effects"),
        (TOOL + "zzz: 1", "tools.a.zzz: unknown key; known are destinations, effects,"),
        ("tool: {}", "f.yaml:1:1: tool: unknown key; the nearest is tools"),
        (TOOL + "effects: [reed]", "f.yaml:3:15: tools.a.effects.0: input should be 'read', 'write'"),
        (TOOL + "effects: []", "f.yaml:3:5: tools.a.effects: list should have at least 1 item"),
        (TOOL + "reversal: maybe", "tools.a.reversal: input should be 'none', 'undo'"),
        (TOOL + "trust: yes", "tools.a.trust: input should be 'trusted' or 'untrusted'"),
        (TOOL + "idempotent: 'yes'", "tools.a.idempotent: input should be a valid boolean"),
        (TOOL + "types:\n      /p: pat", "f.yaml:4:7: tools.a.types./p: "),
        (TOOL + "types:\n      p: path", "f.yaml:4:7: tools.a.types.p: string should match"),
        (TOOL + "types: {/p: {type: path, rots: []}}", "tools.a.types./p.rots: unknown key; the nearest is roots"),
        (TOOL + "types: {/p: {type: path, roots: [docs]}}", "tools.a.types./p.roots.0: string should match"),
        (TOOL + "health: {tool: x, severity: {pointr: /a}}", "severity.pointr: unknown key; the nearest is pointer"),
        (TOOL + "health: {tool: x}", "f.yaml:3:5: tools.a.health: lacks severity"),
        (TOOL + "limits: {max_retries: 2.5}", "tools.a.limits.max_retries: input should be a valid integer"),
        (TOOL + "scope: [2020-01-01]", "tools.a.scope.0: input should be a valid string"),
        ("tools:\n  a: {}\n  a: {}", "f.yaml:3:3: not valid YAML: found duplicate key"),
        ("tools: {1: {}}", "tools.1: input should be a valid string"),
        ("tools: [", "not valid YAML"),
        ("\x00", "f.yaml: not valid YAML"),
        ("- a", "f.yaml:1:1: the file: "),
        ("", "f.yaml:1:1: the file: "),
        ("{}", "the file: lacks tools"),
        (TOOL + "state: {x: {tool: t, args: {n: 99999999999999999999}}}", "a: "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        manifests.read(text, "f.yaml")
    assert told in str(refused.value)
    assert str(refused.value).startswith("f.yaml:")


def test_an_entry_that_is_no_tool_is_told_with_the_nearest_tool() -> None:
    known = manifests.Manifests({"files": {"read_fil": Manifest(), "write": Manifest()}})
    told = manifests.unmatched(known, "files", ["read_file", "write"])
    assert told == ("manifests/files.yaml: read_fil is no tool of files; the nearest is read_file",)
    assert manifests.unmatched(known, "files", [])[0].endswith("read_fil is no tool of files")
    assert manifests.unmatched(known, "crm", ["a"]) == ()


def test_the_shipped_manifests_load() -> None:
    shipped = manifests.load(Path(__file__).resolve().parents[2] / "manifests")
    notes = shipped.tools["notes"]
    assert notes.keys() == {"list_notes", "read_note", "write_note", "delete_note", "import_page"}
    assert notes["import_page"].types["/url"].type == "url"
    assert notes["read_note"].labels == ("untrusted",)
