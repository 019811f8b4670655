"""A diff shows what changes and no value that may be secret."""

import json
from pathlib import Path

import pytest

from gateway.clients import showing
from tests.clients.homes import CANARY, SAMPLES


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_no_secret_of_a_sample_is_shown(sample: Path) -> None:
    text = showing.masked(sample.read_bytes().decode())
    assert CANARY not in text
    assert text.count("\n") <= sample.read_text().count("\n")


def test_what_a_server_starts_and_calls_is_shown() -> None:
    text = """{"mcpServers": {"a": {"command": "npx", "args": ["-y", "x"], "env": {"K": "v", "N": 5}},
        "b": {"type": "http", "url": "https://b.example/mcp", "headers": {"X": "v"}, "note": "n", "n": 5}},
        "projects": {"/p": {"mcpServers": {"c": {"command": "uvx"}}, "history": ["h"]}}}"""
    assert json.loads(showing.masked(text)) == {
        "mcpServers": {
            "a": {"command": "npx", "args": ["-y", "x"], "env": {"K": "***", "N": "***"}},
            "b": {
                "type": "http",
                "url": "https://b.example/mcp",
                "headers": {"X": "***"},
                "note": "***",
                "n": "***",
            },
        },
        "projects": {"/p": {"mcpServers": {"c": {"command": "uvx"}}, "history": ["***"]}},
    }


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["--token", "v", "x"], ["--token", "***", "x"]),
        (["--a-key=v", "--b-secret=w"], ["***", "***"]),
        (["postgres://u:ppp@h/x"], ["***"]),
    ],
)
def test_arguments_that_look_like_secrets_are_hidden(args: list[str], shown: list[str]) -> None:
    text = json.dumps({"servers": {"a": {"args": args, "url": "https://x.example/?key=v"}}})
    entry = json.loads(showing.masked(text))["servers"]["a"]
    assert entry == {"args": shown, "url": "***"}


def test_the_difference_names_the_file_and_what_changes() -> None:
    path = Path("/home/me/.mcp.json")
    shown = showing.difference(path, '{"servers": {"a": {"command": "npx"}}}', '{"servers": {"a": {"command": "b"}}}')
    assert shown.startswith(f"--- {path}\n+++ {path}\n")
    assert '-{"servers": {"a": {"command": "npx"}}}\n+{"servers": {"a": {"command": "b"}}}' in shown
    assert showing.difference(path, '{"a": "b"}', '{"a": "c"}') == ""


def test_what_is_no_json_is_not_shown_at_all() -> None:
    assert showing.masked('{"a": "canary"') == "(no JSON: not shown)"
