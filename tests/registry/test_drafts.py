"""A drafted manifest: stricter on anybody's word, looser on none, and always one that loads."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from gateway.registry import drafts, manifests

SCHEMA = json.loads((Path(__file__).parents[2] / "manifests" / "schema.json").read_text())
READS = {"readOnlyHint": True}
ODD = ["a: b", "x\n  y: 1", "true", "no", "1", "#c", "- a", '"', "ünï", "\u202eevil", "a" * 200, "{}", "*x", "&a"]


def entry(name: str, hints: Any = None, **properties: Any) -> dict[str, Any]:
    definition = {"name": name, "inputSchema": {"type": "object", "properties": properties}}
    if hints is not None:
        definition["annotations"] = hints
    return drafts.draft([definition])[name]


@pytest.mark.parametrize(
    ("name", "hints", "effects"),
    [
        ("get_note", None, ["read"]),
        ("listNotes", None, ["read"]),
        ("git_status", None, ["read"]),
        ("read_messages", None, ["read"]),
        ("search", READS, ["read"]),
        ("write_note", None, ["write"]),
        ("create-issue", None, ["write"]),
        ("delete_note", None, ["delete"]),
        ("search_and_replace", None, ["read", "write"]),
        ("get_or_create", None, ["read", "write"]),
        ("run_command", None, ["execute"]),
        ("send_email", None, ["user_facing"]),
        ("fetch", None, ["egress"]),
        ("refund_order", None, ["money"]),
        ("enable_feature", None, ["config"]),
        ("frobnicate", None, ["unknown"]),
        ("", None, ["unknown"]),
    ],
)
def test_the_name_says_what_a_tool_does(name: str, hints: Any, effects: list[str]) -> None:
    assert entry(name, hints)["effects"] == effects


@pytest.mark.parametrize(
    ("name", "hints", "effects"),
    [
        ("frobnicate", READS, ["unknown"]),
        ("delete_note", READS, ["delete"]),
        ("send_mail", READS | {"openWorldHint": False}, ["user_facing"]),
        ("get_note", {"readOnlyHint": False}, ["read", "write"]),
        ("frobnicate", {"readOnlyHint": False}, ["write", "unknown"]),
        ("write_note", {"destructiveHint": True}, ["write", "delete"]),
        ("write_note", {"destructiveHint": False}, ["write"]),
        ("get_note", {"readOnlyHint": True, "destructiveHint": True}, ["read"]),
        ("search", READS | {"openWorldHint": True}, ["read", "egress"]),
        ("get_note", "nonsense", ["read"]),
        ("frobnicate", {"readOnlyHint": "true"}, ["unknown"]),
    ],
)
def test_an_annotation_only_ever_makes_it_stricter(name: str, hints: Any, effects: list[str]) -> None:
    assert entry(name, hints)["effects"] == effects


def test_arguments_add_where_something_goes() -> None:
    made = entry("get_page", url={"type": "string"}, to={"type": "string"})
    assert made["effects"] == ["read", "egress", "user_facing"]
    assert (made["types"], made["destinations"]) == ({"/url": "url"}, ["/url", "/to"])


def test_paths_lie_in_the_folders_that_the_server_is_given() -> None:
    definition = {"name": "read", "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}}}
    made = drafts.draft([definition], ["/srv/docs"])["read"]
    assert made["types"] == {"/path": {"type": "path", "relative_to": "/work", "roots": ["/srv/docs", "/work"]}}


def test_nothing_is_trusted_undoable_or_repeatable_on_a_servers_word() -> None:
    made = entry("write_note", {"idempotentHint": True, "readOnlyHint": False})
    assert (made["trust"], made["reversal"], made["inferred"], "idempotent" in made) == (
        "untrusted",
        "unknown",
        True,
        False,
    )
    assert entry("write_note", {"idempotentHint": False})["idempotent"] is False
    assert entry("get_note")["reversal"] == "none"


@pytest.mark.parametrize(
    ("name", "hints", "remark"),
    [
        ("frobnicate", READS, "its annotation says that it only reads; its name does not"),
        ("get_note", {"readOnlyHint": False}, "its name says that it reads; its annotation does not"),
        ("get_note", READS, ""),
        ("write_note", None, ""),
    ],
)
def test_where_name_and_annotation_disagree_a_remark_says_so(name: str, hints: Any, remark: str) -> None:
    assert drafts.remark({"name": name, "annotations": hints}) == remark


@pytest.mark.parametrize("name", ["read_note", *ODD])
def test_whatever_a_tool_or_argument_is_called_the_file_loads_and_says_the_same(name: str) -> None:
    properties = {f"{name} path": {"type": "string"}, "url": {"type": "string"}}
    definitions = [{"name": name, "annotations": READS, "inputSchema": {"type": "object", "properties": properties}}]
    made = drafts.draft(definitions, ["/srv/it's"])
    text = drafts.text(name, made, {one["name"]: drafts.remark(one) for one in definitions})  # type: ignore[misc]
    assert text.isascii()
    assert YAML(typ="safe", pure=True).load(text) == {"tools": made}
    assert jsonschema_rs.validator_for(SCHEMA).is_valid({"tools": made})
    (read,) = manifests.read(text, "x.yaml").items()
    assert (read[0], read[1].inferred, list(read[1].effects)) == (name, True, made[name]["effects"])


def test_an_upstream_without_tools_has_an_empty_manifest() -> None:
    assert manifests.read(drafts.text("none", {}, {}), "x.yaml") == {}
