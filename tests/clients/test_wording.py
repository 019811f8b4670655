"""References in our words, and what must not be carried along as it stands."""

from pathlib import Path

import pytest

from gateway.clients.places import CLAUDE_CODE, CLAUDE_DESKTOP, CURSOR, VSCODE, Client
from gateway.clients.wording import Worded, Words, looks_secret, secret_at, secret_in_address
from gateway.errors import ConfigError

OTHER = Client("other", "other.json")


def words(client: Client) -> Words:
    return Words(client, Path("/home/me"), {"SET": "canary", "EMPTY": ""})


@pytest.mark.parametrize(
    ("client", "text", "ours", "literal"),
    [
        (CLAUDE_CODE, "plain", "plain", True),
        (CLAUDE_CODE, "${SET}", "${SET}", False),
        (CLAUDE_CODE, "Bearer ${SET}", "Bearer ${SET}", False),
        (CLAUDE_CODE, "${UNSET:-fast}", "${UNSET:-fast}", False),
        (CLAUDE_CODE, "${UNSET:-}", "${UNSET:-}", False),
        (CLAUDE_CODE, "${UNSET:-https://api.example.org}", "${UNSET:-https://api.example.org}", False),
        (CLAUDE_CODE, "${HOME}/x", "/home/me/x", True),
        (CLAUDE_DESKTOP, "${SET}", "${SET}", True),
        (CLAUDE_DESKTOP, "a ${not closed", "a ${not closed", True),
        (CURSOR, "${env:SET}", "${SET}", False),
        (CURSOR, "${userHome}${/}x", "/home/me/x", True),
        (VSCODE, "Bearer ${env:SET}", "Bearer ${SET}", False),
        (OTHER, "${SET}${env:SET}", "${SET}${SET}", False),
    ],
)
def test_a_reference_is_written_as_ours(client: Client, text: str, ours: str, *, literal: bool) -> None:
    assert words(client).worded("KEY", text) == Worded(ours, literal)


@pytest.mark.parametrize(
    ("client", "text", "why"),
    [
        (CLAUDE_CODE, "${UNSET}", "not set here"),
        (CLAUDE_CODE, "${EMPTY}", "not set here"),
        (CLAUDE_CODE, "${SET:-canary-of-a-default}", "may be a secret"),
        (CLAUDE_CODE, "${SET:-https://u:p@x.example}", "may be a secret"),
        (CLAUDE_CODE, "canary:${SET}@host", "mixes"),
        (CLAUDE_CODE, "${env:SET}", "own meaning"),
        (CLAUDE_CODE, "${CLAUDE_PROJECT_DIR:-.}", "works in"),
        (CLAUDE_CODE, "${CLAUDE_PLUGIN_ROOT}", "inside its plugin"),
        (CURSOR, "${SET}", "own meaning"),
        (CURSOR, "${workspaceFolderBasename}", "works in"),
        (VSCODE, "${input:token}", "asked for"),
        (VSCODE, "${config:a.b}", "setting of the client"),
        (VSCODE, "${command:x}", "command of the client"),
        (OTHER, "${a b}", "own meaning"),
        (CLAUDE_DESKTOP, "canary\n", "line break"),
        (CLAUDE_DESKTOP, "canary\r\ncanary", "line break"),
        (CLAUDE_DESKTOP, "canary\0", "does not keep"),
    ],
)
def test_what_is_not_the_same_with_us_needs_a_hand_and_tells_no_secret(client: Client, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        words(client).worded("KEY", text)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("text", ["${SET}", "${SET:-x}", "${input:x}"])
def test_arguments_and_addresses_refer_to_nothing_but_the_home_folder(text: str) -> None:
    assert words(VSCODE).plain("args", "${userHome}/docs") == "/home/me/docs"
    for client in (VSCODE, CLAUDE_DESKTOP, CLAUDE_CODE):
        with pytest.raises(ConfigError):
            words(client).plain("args", text)


@pytest.mark.parametrize(
    ("args", "at"),
    [
        (["-y", "@modelcontextprotocol/server-filesystem@2025.8.21", "/srv/docs"], None),
        (["--api-key", "--verbose"], None),
        (["--author", "me", "--keyboard", "de", "--port=8080"], None),
        (["https://api.example.org/v1/things?page=2"], None),
        (["--with", "mcp<2", "mcp-server-sqlite", "--db-path", "/srv/notes.db"], None),
        (["0b7f6d3e-8c1a-4f6e-9d53-0c1b2a3d4e5f"], None),
        (["--api-key", "abc"], 1),
        (["-k", "x", "--password", "hunter2"], 3),
        (["--token=abc"], 0),
        (["GITHUB_TOKEN=abc"], 0),
        (["--header", "Authorization: Bearer abc"], 1),
        (["--header", "X-Api-Key:abc"], 1),
        (["ghp_" + "a1B2" * 9], 0),
        (["postgres://me:hunter2@db.example/x"], 0),
        (["dGhpcyBpcyBhIFNlY3JldDEyMw"], 0),
        (["9f86d081884c7d659a2feaa0c55ad015"], 0),
    ],
)
def test_an_argument_that_looks_like_a_secret_is_told_from_one_that_does_not(args: list[str], at: int | None) -> None:
    assert secret_at(tuple(args)) == at


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://mcp.example.org/mcp", False),
        ("https://mcp.example.org/v1/mcp?profile=default&page=2", False),
        ("https://mcp.example.org/mcp?api_key=abc", True),
        ("https://mcp.example.org/mcp?profile=9f86d081884c7d659a2feaa0c55ad015", True),
        ("https://mcp.example.org/s/dGhpcyBpcyBhIFNlY3JldDEyMw/mcp", True),
        ("https://me:abc@mcp.example.org/mcp", True),
        ("https://[broken", True),
    ],
)
def test_an_address_that_carries_a_secret_is_told(url: str, *, secret: bool) -> None:
    assert secret_in_address(url) is secret


def test_a_value_does_not_show_itself() -> None:
    assert "canary" not in repr(Worded("canary", literal=True))
    assert not looks_secret("uvx")
