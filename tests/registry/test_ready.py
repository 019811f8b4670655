"""Manifests that come with Bascule: they load, they name what the servers offer, and they are held to what is given."""

import json
from pathlib import Path

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from gateway.registry import manifests, ready
from gateway.resources import resource

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "manifests" / "schema.json").read_text())
PACKAGES = sorted(ready.catalogue())


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize(
    ("folders", "hosts"), [((), ()), (("/srv/docs", "/srv/it's"), ("127.0.0.1", "Docs.example.com"))]
)
def test_each_ready_manifest_loads_and_nothing_in_it_is_inferred(
    package: str, folders: tuple[str, ...], hosts: tuple[str, ...]
) -> None:
    text = ready.ready(package, folders, hosts)
    assert text is not None
    assert "${" not in text
    read = manifests.read(text, package)
    assert jsonschema_rs.validator_for(SCHEMA).is_valid(YAML(typ="safe", pure=True).load(text))
    for name, stated in read.items():
        assert not stated.inferred, name
        assert "unknown" not in stated.effects, name
        for spec in stated.types.values():
            if spec.type == "path":
                assert spec.settings["roots"] == [*folders, "/work"]
            if spec.type == "url":
                assert (spec.settings["hosts"], spec.settings["allow_private"]) == (
                    [h.lower() for h in hosts],
                    bool(hosts),
                )


def test_every_ready_file_is_in_the_catalogue_and_every_policy_has_its_tests() -> None:
    known = ready.catalogue().values()
    assert {one.manifest for one in known} == {path.name for path in resource(ready.PLACE).glob("*.yaml")} - {
        ready.CATALOGUE
    }
    packs = resource("policies/packs/servers")
    assert {one.policy for one in known} == {path.name for path in packs.glob("*.rego") if "_test" not in path.name}
    assert all((packs / one.policy.replace(".rego", "_test.rego")).is_file() for one in known)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("@modelcontextprotocol/server-memory", True),
        ("@modelcontextprotocol/server-memory@2026.8.31", True),
        ("mcp-server-git==2026.10.10", True),
        ("mcp-server-git@latest", True),
        ("mcp-server-gitx", False),
        ("@evil/server-memory", False),
        ("", False),
    ],
)
def test_a_package_is_found_with_or_without_its_version(asked: str, *, found: bool) -> None:
    assert (ready.ready(asked, []) is not None) is found
    assert (ready.needs(asked) is not None) is found


def test_the_catalogue_says_what_a_server_needs() -> None:
    memory, sqlite = ready.needs("@modelcontextprotocol/server-memory"), ready.needs("mcp-server-sqlite")
    assert memory is not None
    assert sqlite is not None
    assert memory.env == {"MEMORY_FILE_PATH": "/work/memory.jsonl"}
    assert sqlite.beside == ("mcp<2",)
