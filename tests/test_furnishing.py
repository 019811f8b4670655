"""What comes ready for a known server is put beside the operator's files, and never over them."""

import json
from pathlib import Path

import pytest

from gateway import amending, config, furnishing
from gateway.errors import ConfigError

FILES = (
    '{command: npx, args: [-y, "@modelcontextprotocol/server-filesystem@2026.8.31", /srv/docs],'
    " folders: {/srv/docs: rw}}"
)
FETCH = '{command: uvx, args: ["mcp-server-fetch==2026.10.10"], network: {allow: ["docs.example:443"]}}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    return tmp_path / "bascule.yaml"


def written(file: Path, **upstreams: str) -> Path:
    entries = "".join(f"  {name}: {said}\n" for name, said in upstreams.items())
    file.write_text(f"version: 1\naudit: {{origin: a/b}}\nupstreams:\n{entries}")
    return file


def test_a_known_server_gets_its_manifest_its_policy_and_its_place_in_the_data(file: Path) -> None:
    paths = furnishing.furnish(written(file, docs=FILES), "docs")
    folder = file.parent
    assert {str(path.relative_to(folder)) for path in paths} == {
        "manifests/docs.yaml",
        "policies/filesystem.rego",
        "policies/filesystem_test.rego",
        "policies/data.json",
    }
    assert '"/srv/docs"' in (folder / "manifests" / "docs.yaml").read_text()
    assert json.loads((folder / "policies" / "data.json").read_text()) == {"servers": {"filesystem": ["docs"]}}
    assert furnishing.furnish(file, "docs") == []


def test_a_server_nobody_knows_gets_nothing(file: Path) -> None:
    written(file, own="{command: npx, args: [-y, own-server]}", far="{url: 'https://x.example/mcp'}")
    assert furnishing.furnish(file, "own") == furnishing.furnish(file, "far") == []
    assert not (file.parent / "manifests").exists()


def test_what_the_operator_has_is_not_written_over(file: Path) -> None:
    manifest = file.parent / "manifests" / "docs.yaml"
    manifest.parent.mkdir()
    manifest.write_text("tools: {}\n")
    (file.parent / "policies" / "filesystem.rego").write_text("package bascule.call\n")
    (file.parent / "policies" / "data.json").write_text('{"grants": {"ann": {}}}')
    furnishing.furnish(written(file, docs=FILES), "docs")
    assert manifest.read_text() == "tools: {}\n"
    assert (file.parent / "policies" / "filesystem.rego").read_text() == "package bascule.call\n"
    data = json.loads((file.parent / "policies" / "data.json").read_text())
    assert data == {"grants": {"ann": {}}, "servers": {"filesystem": ["docs"]}}


def test_a_manifest_that_was_not_touched_follows_what_the_server_is_given(file: Path) -> None:
    furnishing.furnish(written(file, web=FETCH), "web")
    manifest = file.parent / "manifests" / "web.yaml"
    before = config.outline(file).upstreams["web"]
    amending.amend(file, "web", amending.grants(before, ("127.0.0.1:8080",), {}))
    assert manifest in furnishing.furnish(file, "web", before)
    assert '"docs.example", "127.0.0.1"' in manifest.read_text()
    data = json.loads((file.parent / "policies" / "data.json").read_text())
    assert data["fetch"] == {"hosts": ["docs.example", "127.0.0.1"]}
    manifest.write_text(manifest.read_text() + "# mine\n")
    kept, before = manifest.read_text(), config.outline(file).upstreams["web"]
    amending.amend(file, "web", amending.grants(before, ("b.example:443",), {}))
    furnishing.furnish(file, "web", before)
    assert manifest.read_text() == kept


def test_data_that_is_no_json_is_named_and_kept(file: Path) -> None:
    data = file.parent / "policies" / "data.json"
    data.write_text("{")
    with pytest.raises(ConfigError, match=r"data\.json: is no JSON"):
        furnishing.furnish(written(file, docs=FILES), "docs")
    assert data.read_text() == "{"
