"""Where clients keep their servers, on each kind of machine."""

import json
from pathlib import Path

import pytest

from gateway.clients import places
from gateway.clients.places import CLAUDE_CODE, CURSOR, VSCODE, Surroundings
from tests.clients.homes import Home


def files(found: list[places.Place], home: Path) -> list[tuple[str, str]]:
    return [(place.client.name, place.path.relative_to(home).as_posix()) for place in found]


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {}, ".config"),
        ("darwin", {}, "Library/Application Support"),
        ("win32", {}, "AppData/Roaming"),
    ],
)
def test_the_users_files_are_where_the_machine_keeps_them(
    home: Home, platform: str, environ: dict[str, str], folder: str
) -> None:
    assert files(Surroundings(home.path, home.path, environ, platform).user(), home.path) == [
        ("claude-code", ".claude.json"),
        ("claude-desktop", f"{folder}/Claude/claude_desktop_config.json"),
        ("cursor", ".cursor/mcp.json"),
        ("vscode", f"{folder}/Code/User/mcp.json"),
        ("vscode", f"{folder}/Code - Insiders/User/mcp.json"),
        ("vscode", f"{folder}/VSCodium/User/mcp.json"),
    ]


@pytest.mark.parametrize(
    ("platform", "variable", "client"),
    [
        ("linux", "CLAUDE_CONFIG_DIR", "claude-code"),
        ("linux", "XDG_CONFIG_HOME", "claude-desktop"),
        ("win32", "APPDATA", "claude-desktop"),
    ],
)
def test_a_variable_that_moves_them_is_followed(home: Home, platform: str, variable: str, client: str) -> None:
    moved = Surroundings(home.path, home.path, {variable: str(home.path / "moved")}, platform)
    [path] = [place.path for place in moved.user() if place.client.name == client]
    assert path.is_relative_to(home.path / "moved")


def test_profiles_of_vs_code_have_files_of_their_own(home: Home) -> None:
    profile = home.path / ".config/Code/User/profiles/a1/mcp.json"
    profile.parent.mkdir(parents=True)
    profile.touch()
    assert (VSCODE, profile) in [(place.client, place.path) for place in home.around.user()]


def test_a_project_is_looked_at_with_the_folders_it_is_in_up_to_the_home_folder(home: Home) -> None:
    inner = Surroundings(home.path, home.path / "work" / "inner", {}, "linux")
    found = files(inner.project(), home.path)
    assert ("claude-code", "work/inner/.mcp.json") in found
    assert ("cursor", "work/.cursor/mcp.json") in found
    assert ("vscode", ".vscode/mcp.json") in found
    assert ("cursor", ".cursor/mcp.json") not in found
    assert len(found) == 8


def test_of_a_project_elsewhere_only_its_own_folder_is_looked_at(home: Home, tmp_path: Path) -> None:
    elsewhere = Surroundings(home.path, tmp_path / "elsewhere", {}, "linux")
    assert {place.path.relative_to(tmp_path / "elsewhere").parts[0] for place in elsewhere.project()} == {
        ".mcp.json",
        ".cursor",
        ".vscode",
    }


def test_plugins_are_those_the_client_says_are_installed(home: Home) -> None:
    plugins = home.path / ".claude" / "plugins"
    fetched = plugins / "cache" / "m" / "gone" / "1" / ".claude-plugin" / "plugin.json"
    fetched.parent.mkdir(parents=True)
    fetched.touch()
    assert [place.path for place in home.around.plugins()] == [
        fetched.parent.parent / ".mcp.json",
        fetched,
    ]
    listed = {"version": 2, "plugins": {"a@m": [{"installPath": str(plugins / "a")}, {"installPath": 1}]}}
    (plugins / "installed_plugins.json").write_text(json.dumps(listed))
    assert files(home.around.plugins(), plugins) == [
        ("claude-code", "a/.mcp.json"),
        ("claude-code", "a/.claude-plugin/plugin.json"),
    ]


def test_extensions_of_claude_desktop_are_found(home: Home) -> None:
    manifest = home.path / ".config/Claude/Claude Extensions/x/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    assert [place.path for place in home.around.plugins()] == [manifest]


@pytest.mark.parametrize(
    ("path", "client", "scope"),
    [
        (".claude.json", "claude-code", "user"),
        (".cursor/mcp.json", "cursor", "user"),
        ("work/.mcp.json", "claude-code", "project"),
        ("far/.mcp.json", "claude-code", "named"),
        ("far/.cursor/mcp.json", "cursor", "named"),
        ("far/.vscode/mcp.json", "vscode", "named"),
        ("far/claude_desktop_config.json", "claude-desktop", "named"),
        ("far/My Servers.json", "my-servers", "named"),
        ("far/local.json", "local-client", "named"),
        ("far/日本.json", "a-client", "named"),
    ],
)
def test_a_named_file_is_its_clients_or_has_one_of_its_own(home: Home, path: str, client: str, scope: str) -> None:
    place = places.named(home.path / path, home.around)
    assert (place.client.name, place.scope, place.path) == (client, scope, home.path / path)


def test_what_may_not_be_looked_into_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refused)
    assert not places.exists(Path("/root/.claude.json"))


def test_dialects_say_what_a_reference_looks_like() -> None:
    assert CLAUDE_CODE.references == ("${NAME}",)
    assert CURSOR.references == VSCODE.references == ("${env:NAME}",)
