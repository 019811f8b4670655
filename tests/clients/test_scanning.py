"""What still goes past Bascule is found wherever clients keep it, and nothing is changed or told that is secret."""

import json
from pathlib import Path

import pytest

from gateway.clients import scanning
from gateway.clients.places import Surroundings
from tests.clients.homes import CANARY, GIT, SAMPLES, TIME, Home, claude_code


def states(scan: scanning.Scan) -> dict[str, str]:
    return {found.name: found.state for found in scan.servers}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_scanned_without_a_word_of_its_secrets_and_without_a_change(home: Home, sample: Path) -> None:
    path = home.sample(sample)
    before = home.everything()
    scan = scanning.scan(home.around, [home.place(path)], 8484)
    assert CANARY not in repr(scan)
    assert scan.unreadable == ()
    assert scan.past == len(scan.servers)
    assert home.everything() == before


def test_after_adoption_only_what_needs_a_hand_goes_past(home: Home) -> None:
    old = '"old": {"type": "sse", "url": "https://old.example/sse?key=canary"}'
    home.adopt(home.put("claude-code", claude_code(TIME, GIT, old)), home.put("claude-desktop", claude_code(TIME)))
    scan = scanning.scan(home.around, [], 8484)
    assert states(scan) == {"time": "governed", "git": "governed", "old": "past"}
    assert [(found.client, found.reaches) for found in scan.servers if found.state == "past"] == [
        ("claude-code", "https://old.example")
    ]
    assert states(scanning.scan(home.around, [], None)) == states(scan)


def test_what_is_switched_off_still_goes_past(home: Home) -> None:
    home.put("cursor", claude_code('"a": {"url": "https://a.example/mcp", "disabled": true}'))
    scan = scanning.scan(home.around, [], None)
    assert states(scan) == {"a": "past, disabled"}
    assert scan.past == 1


def test_every_place_is_looked_at(home: Home) -> None:
    plugin = home.path / ".claude" / "plugins" / "cache" / "m" / "p" / "1"
    extension = home.path / ".config/Claude/Claude Extensions/x"
    project = home.path / "project"
    for folder in (plugin / ".claude-plugin", extension, project / ".vscode"):
        folder.mkdir(parents=True)
    (plugin / ".claude-plugin" / "plugin.json").write_text('{"name": "p", "mcpServers": {"inline": {"command": "a"}}}')
    (plugin / ".mcp.json").write_text('{"plugged": {"command": "${CLAUDE_PLUGIN_ROOT}/server"}}')
    (extension / "manifest.json").write_text('{"name": "extended", "server": {"mcp_config": {"command": "node"}}}')
    (project / ".vscode" / "mcp.json").write_text('{"servers": {"elsewhere": {"command": "b"}}}')
    home.put("claude-code", json.dumps({"mcpServers": {"users": {}}, "projects": {str(project): {}, "relative": {}}}))
    home.put("mcp", claude_code('"projects": {"command": "c"}'))
    some = home.put("some", claude_code('"named": {"serverUrl": "https://d.example/mcp"}'))
    scan = scanning.scan(home.around, [home.place(some)], None)
    assert {found.name: found.reaches for found in scan.servers} == {
        "users": "nothing that is known",
        "inline": "a",
        "plugged": "server",
        "extended": "node",
        "elsewhere": "b",
        "projects": "c",
        "named": "https://d.example",
    }
    assert scan.looked == 7


def test_a_file_is_looked_at_once_however_many_ways_lead_to_it(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME))
    (home.path / ".cursor").mkdir()
    (home.path / ".cursor" / "mcp.json").symlink_to(path)
    around = Surroundings(home.path, home.path, {}, "linux")
    assert len(scanning.scan(around, [home.place(path)], None).servers) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"{", "double quotes"), (b"\xff", "UTF-8"), (b'{"mcpServers": 1}', "object of servers"), (None, "is not there")],
)
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_scanned(
    home: Home, content: bytes | None, why: str
) -> None:
    home.put("cursor", claude_code(TIME))
    path = home.put("claude-code", "")
    path.unlink() if content is None else path.write_bytes(content)
    scan = scanning.scan(home.around, [home.place(path)], None)
    assert states(scan) == {"time": "past"}
    [(file, problem)] = scan.unreadable
    assert (file, why in problem) == (path, True)


@pytest.mark.parametrize(
    ("entry", "reaches"),
    [
        ('{"command": "/opt/x/server"}', "server"),
        ('{"command": "npx -y canary"}', "npx"),
        ('{"command": "ghp_canary%s"}' % ("a" * 30), "a command"),
        ('{"command": " "}', ""),
        ('{"url": "https://u:canary@h.example:1/canary?canary"}', "https://h.example:1"),
        ('{"url": "no address"}', "an address"),
        ('{"url": 1, "httpUrl": "http://b.example"}', "http://b.example"),
        ("[]", "nothing that is known"),
    ],
)
def test_what_is_reached_is_told_without_paths_arguments_and_passwords(home: Home, entry: str, reaches: str) -> None:
    home.put("cursor", claude_code(f'"x": {entry}'))
    [found] = scanning.scan(home.around, [], None).servers
    assert found.reaches == reaches
