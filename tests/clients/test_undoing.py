"""A run is taken back to the byte, unless somebody edited since: then it is said, and their edits are kept."""

import os
from pathlib import Path

import pytest

from gateway import config, setup
from gateway.clients import backups, undoing
from gateway.errors import ConfigError
from tests.clients.homes import CANARY, GIT, TIME, Home, claude_code


def test_what_was_made_is_removed_and_what_was_there_is_as_it_was(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME, GIT))
    home.adopt(path)
    undone = undoing.undo(home.state)
    assert (undone.restored, undone.removed, undone.kept, undone.earlier) == ((path,), (home.config,), (), 0)
    assert path.read_text() == claude_code(TIME, GIT)
    assert not home.config.exists()
    assert list((home.state / "secrets").iterdir()) == []
    assert (home.state / "log.key").exists()
    assert (home.config.parent / "policies" / "call.rego").exists()


def test_runs_are_taken_back_one_by_one(home: Home) -> None:
    first, second = home.put("claude-code", claude_code(TIME)), home.put("cursor", claude_code(GIT))
    home.adopt(first)
    between = home.config.read_bytes()
    home.adopt(second)
    assert undoing.undo(home.state).earlier == 1
    assert second.read_text() == claude_code(GIT)
    assert home.config.read_bytes() == between
    assert undoing.undo(home.state).earlier == 0
    assert first.read_text() == claude_code(TIME)
    with pytest.raises(ConfigError, match="nothing to undo"):
        undoing.undo(home.state)


def test_where_nothing_was_adopted_there_is_nothing_to_undo_and_nothing_is_made(home: Home) -> None:
    with pytest.raises(ConfigError, match="nothing to undo"):
        undoing.undo(home.state)
    assert not home.state.exists()


def test_a_file_that_was_edited_since_is_refused_with_the_difference_and_nothing_is_put_back(home: Home) -> None:
    paths = [home.put("claude-code", claude_code(TIME)), home.put("cursor", claude_code(GIT))]
    home.adopt(*paths)
    paths[0].write_text(paths[0].read_text().replace("{\n", '{\n  "theme": "canary", // canary\n', 1))
    before = home.everything()
    with pytest.raises(ConfigError, match="edited since") as refused:
        undoing.undo(home.state)
    said = str(refused.value)
    assert str(paths[0]) in said
    assert str(paths[1]) not in said
    assert '+  "theme": "***", // …' in said
    assert "uvx" not in "".join(line for line in said.splitlines() if line.startswith(("+", "-")))
    assert "--undo --force" in said
    assert CANARY not in said
    assert home.everything() == before


def test_with_force_the_entries_come_back_and_the_edits_stay(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME, GIT))
    home.adopt(path)
    path.write_text(path.read_text().replace("{\n", '{\n  "theme": "dark",\n', 1))
    [(kept, why)] = undoing.undo(home.state, force=True).kept
    assert (kept, "the rest stays" in why) == (path, True)
    assert path.read_text() == claude_code(TIME, GIT).replace("{\n", '{\n  "theme": "dark",\n', 1)
    assert not home.config.exists()
    assert backups.journals(home.state) == []


def test_with_force_an_entry_that_somebody_rewrote_or_took_out_is_left_so(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME, GIT))
    home.adopt(path)
    mine = '{"mcpServers": {"time": {"command": "/opt/time"}}}'
    path.write_text(mine)
    undoing.undo(home.state, force=True)
    assert path.read_text() == mine


@pytest.mark.parametrize(("content", "why"), [(b"\xff broken", "no text any more"), (b"{broken", "not shown")])
def test_with_force_what_is_no_json_any_more_is_kept_beside(home: Home, content: bytes, why: str) -> None:
    path = home.put("claude-code", claude_code(TIME))
    home.adopt(path)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        undoing.undo(home.state)
    undone = undoing.undo(home.state, force=True)
    assert "no JSON" in undone.kept[0][1]
    assert path.read_text() == claude_code(TIME)
    assert path.with_name(".claude.json.bascule-edited").read_bytes() == content


def test_with_force_a_file_that_is_gone_comes_back(home: Home) -> None:
    path = home.put("claude-code", claude_code(TIME))
    home.adopt(path)
    path.unlink()
    with pytest.raises(ConfigError, match="is gone"):
        undoing.undo(home.state)
    assert "was gone" in undoing.undo(home.state, force=True).kept[0][1]
    assert path.read_text() == claude_code(TIME)


def test_a_configuration_that_was_edited_since_stays_with_its_secrets(home: Home) -> None:
    path = home.put("claude-code", claude_code(GIT))
    home.adopt(path)
    home.config.write_text(home.config.read_text() + "# mine\n")
    undone = undoing.undo(home.state)
    assert path.read_text() == claude_code(GIT)
    assert [kept for kept, _ in undone.kept] == [home.config]
    assert config.load(home.config, {}).upstreams["git"].env == {"TOKEN": "canary-git"}
    made = home.adopt(path)
    assert [adopted.new for adopted in made.adopted] == [False]
    assert made.principals == {"claude-code": "claude-code-2"}


def test_a_configuration_that_was_there_before_is_as_it_was(home: Home) -> None:
    setup.init(home.config.parent)
    before = home.config.read_bytes()
    home.adopt(home.put("claude-code", claude_code(GIT)))
    undone = undoing.undo(home.state)
    assert undone.removed == ()
    assert home.config in undone.restored
    assert home.config.read_bytes() == before


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_without_the_backup_nothing_is_put_back(home: Home, damage: object) -> None:
    paths = [home.put("claude-code", claude_code(TIME)), home.put("cursor", claude_code(GIT))]
    home.adopt(*paths)
    assert callable(damage)
    damage(paths[0].with_name(".claude.json.bascule-backup"))
    before = home.everything()
    with pytest.raises(ConfigError, match="is gone or changed"):
        undoing.undo(home.state)
    assert home.everything() == before


def test_an_undo_that_was_cut_off_is_done_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [home.put("claude-code", claude_code(TIME)), home.put("cursor", claude_code(GIT))]
    before = home.everything()
    home.adopt(*paths)
    replaced, calls = os.replace, [0]

    def once(source: str, target: Path) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise OSError(5, "Input/output error")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(ConfigError, match="Input/output"):
        undoing.undo(home.state)
    monkeypatch.undo()
    undoing.undo(home.state)
    assert home.everything() == before
