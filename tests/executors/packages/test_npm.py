"""npm packages: what may be installed, and what of them is run."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.executors.packages import npm
from gateway.executors.packages.commands import Npm, NpmSpec
from gateway.executors.packages.installed import Pinned
from tests.executors.fake_tools import FakeTools

SERVER = Npm(NpmSpec("server"), args=("--x",))


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    tools = FakeTools(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tools.folder))
    tools.has_npm("1.2.3")
    return tools


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


async def resolve(place: Path, command: Npm = SERVER, *, allow_build: bool = False) -> Pinned:
    return await npm.resolve(command, place, place / "cache", allow_build=allow_build)


async def test_a_package_is_resolved_to_its_version_and_a_digest_of_all_it_needs(tools: FakeTools, place: Path) -> None:
    pinned = await resolve(place)
    assert (pinned.spec, pinned.version, pinned.packages, pinned.scripts) == (
        "npm:server@latest",
        "npm:server@1.2.3",
        1,
        (),
    )
    assert pinned.digest == npm.lock_digest(pinned.lock)
    assert json.loads((place / "package.json").read_text())["dependencies"] == {"server": "latest"}


async def test_npm_runs_no_script_keeps_its_own_cache_and_sees_no_secret(
    tools: FakeTools, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TOKEN", "canary")
    await npm.install(SERVER, await resolve(place), place, place / "cache")
    assert [call["argv"][0] for call in tools.calls] == ["install", "ci"]
    for call in tools.calls:
        assert {"--ignore-scripts", "--cache", f"{place}/cache/npm", "--prefix", str(place)} <= {*call["argv"]}
        assert call["cwd"] == str(place)
        assert "canary" not in json.dumps(call)


async def test_packages_named_beside_it_are_resolved_with_it(tools: FakeTools, place: Path) -> None:
    command = Npm(NpmSpec("server"), (NpmSpec("zod", "^3"),), "server")
    assert (await resolve(place, command)).spec == "npm:server@latest zod@^3"
    assert json.loads((place / "package.json").read_text())["dependencies"] == {"server": "latest", "zod": "^3"}


async def test_a_package_with_an_install_script_is_refused_by_name(tools: FakeTools, place: Path) -> None:
    tools.has_npm("1.2.3", hasInstallScript=True)
    with pytest.raises(ConfigError, match=r"server runs a script .* set `allow_build: true` for this upstream"):
        await resolve(place)


async def test_an_allowed_script_runs_after_all_was_fetched_and_sees_no_credentials(
    tools: FakeTools, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools.has_npm("1.2.3", hasInstallScript=True)
    monkeypatch.setenv("NPM_TOKEN", "canary")
    pinned = await resolve(place, allow_build=True)
    assert pinned.scripts == ("server",)
    await npm.install(SERVER, pinned, place, place / "cache")
    fetched, built = tools.calls[-2:]
    assert (fetched["argv"][0], built["argv"][0]) == ("ci", "rebuild")
    assert "--ignore-scripts" in fetched["argv"]
    assert fetched["env"]["NPM_TOKEN"] == "canary"
    assert "canary" not in json.dumps(built)
    assert built["env"]["HOME"] == str(place / "home")
    assert not (place / "home").exists()


async def test_an_allowed_script_that_fails_is_named(tools: FakeTools, place: Path) -> None:
    tools.has_npm("1.2.3", hasInstallScript=True)
    tools.says("npm rebuild", code=1, err="gyp ERR!")
    pinned = await resolve(place, allow_build=True)
    with pytest.raises(ConfigError, match=r"npm:server@1\.2\.3: a script of server failed"):
        await npm.install(SERVER, pinned, place, place / "cache")


OTHER = {"darwin": "linux"}.get(sys.platform, "darwin")


@pytest.mark.parametrize(
    "platform",
    [{"os": [OTHER]}, {"os": [f"!{sys.platform}"]}, {"cpu": ["no-such"]}, {"os": [sys.platform], "cpu": ["no-such"]}],
)
async def test_what_is_for_another_platform_is_not_installed_and_may_have_scripts(
    tools: FakeTools, place: Path, platform: dict[str, Any]
) -> None:
    tools.has_npm("1.2.3", hasInstallScript=True, optional=True, **platform)
    assert (await resolve(place)).packages == 0


@pytest.mark.parametrize("platform", [{"os": [sys.platform]}, {"os": ["!aix"]}, {"os": []}, {"cpu": ["any"]}])
async def test_what_is_for_this_platform_is_judged(tools: FakeTools, place: Path, platform: dict[str, Any]) -> None:
    tools.has_npm("1.2.3", hasInstallScript=True, optional=True, **platform)
    with pytest.raises(ConfigError, match="runs a script"):
        await resolve(place)


@pytest.mark.parametrize("entry", [{"integrity": None}, {"integrity": "sha1-x"}, {"link": True}])
async def test_what_comes_from_elsewhere_than_the_registry_cannot_be_pinned(
    tools: FakeTools, place: Path, entry: dict[str, Any]
) -> None:
    tools.has_npm("1.2.3", **entry)
    with pytest.raises(ConfigError, match="cannot be pinned: server comes from an address"):
        await resolve(place)


async def test_what_is_bundled_is_under_the_digest_of_its_bundle(tools: FakeTools, place: Path) -> None:
    tools.has_npm("1.2.3", integrity=None, inBundle=True)
    assert (await resolve(place)).packages == 1


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("npm error code E404", "the registry has no such package"),
        ("npm error code ETARGET", "has no such version, or no longer has it"),
        ("npm error code EALLOWGIT", "not from the registry"),
        ("npm error code ENOGIT", "not from the registry"),
        ("npm error code ERESOLVE", "contradict each other"),
        ("npm error code EBADENGINE", "another Node"),
        ("npm error code EUSAGE", "npm is too old"),
        ("npm error code EINTEGRITY", "its digest differs"),
        ("npm error code ENOTFOUND", "cannot be reached"),
    ],
)
async def test_a_failure_of_npm_is_told_in_our_words(tools: FakeTools, place: Path, said: str, meaning: str) -> None:
    tools.says("npm install", code=1, err=f"{said}\nGET https://me:canary@r.example/server")
    with pytest.raises(ConfigError, match="npm:server@latest cannot be resolved: ") as failed:
        await resolve(place)
    assert meaning in str(failed.value)
    assert failed.value.__notes__ == [f"{said}\nGET https://r.example/server"]


async def test_a_version_that_vanished_cannot_be_installed_again(tools: FakeTools, place: Path) -> None:
    pinned = await resolve(place)
    tools.says("npm ci", code=1, err="npm error code ETARGET")
    with pytest.raises(ConfigError, match=r"npm:server@1\.2\.3 cannot be installed: .* no longer has it"):
        await npm.install(SERVER, pinned, place, place / "cache")


async def test_without_npm_the_fix_is_named(tools: FakeTools, place: Path) -> None:
    (tools.folder / "npm").unlink()
    with pytest.raises(ConfigError, match="npm is not installed: apt-get install nodejs npm"):
        await resolve(place)


async def test_npm_beside_node_stands_in_for_a_version_managers_script(tools: FakeTools, place: Path) -> None:
    cli = tools.folder.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    cli.parent.mkdir(parents=True)
    cli.touch()
    (tools.folder / "npm").unlink()
    (tools.folder / "npm").write_text("#!/bin/sh\n")
    (tools.folder / "npm").chmod(0o755)
    assert await npm.npm() == (str(tools.folder / "node"), str(cli))


async def test_npm_finds_no_program_that_it_could_start(tools: FakeTools, place: Path) -> None:
    await npm.install(SERVER, await resolve(place), place, place / "cache")
    for call in tools.calls:
        assert call["env"]["PATH"] == f"{place}/no-programs"
        assert "--allow-git=none" in call["argv"]
    assert not list(place.parent.rglob("no-programs"))


def package(place: Path, bins: Any, name: str = "server", first: str = "#!/usr/bin/env node\n") -> None:
    folder = place / "node_modules" / name
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"bin": bins}))
    for file in ("a.js", "b.js"):
        (folder / "dist" / file).write_text(first)


PINNED = Pinned("", "npm:server@1.2.3", "sha256:00", 1, "{}")


@pytest.mark.parametrize(
    ("bins", "name", "chosen"),
    [
        ("dist/a.js", "server", "a.js"),
        ({"other": "dist/b.js"}, "server", "b.js"),
        ({"one": "dist/a.js", "two": "dist/a.js"}, "server", "a.js"),
        ({"x": "dist/b.js", "server": "./dist/a.js"}, "server", "a.js"),
        ({"x": "dist/b.js", "server": "dist/a.js"}, "@scope/server", "a.js"),
        ("dist/a.js", "@scope/server", "a.js"),
    ],
)
async def test_the_program_is_the_one_npx_would_choose(
    tools: FakeTools, place: Path, bins: Any, name: str, chosen: str
) -> None:
    package(place, bins, name)
    program = await npm.program(Npm(NpmSpec(name), args=("--x",)), PINNED, place)
    node = str(tools.folder / "node")
    assert program.argv == (node, f"{place}/node_modules/{name}/dist/{chosen}", "--x")
    assert program.runtime == (place, Path(node))
    assert (program.version, program.digest) == ("npm:server@1.2.3", "sha256:00")


async def test_a_named_program_may_be_of_a_package_beside_it(tools: FakeTools, place: Path) -> None:
    package(place, {"a": "dist/a.js"})
    package(place, {"b": "dist/b.js"}, "other")
    program = await npm.program(Npm(NpmSpec("server"), (NpmSpec("other"),), "b"), PINNED, place)
    assert program.argv[1] == f"{place}/node_modules/other/dist/b.js"


@pytest.mark.parametrize(
    ("bins", "named", "problem"),
    [
        ({"x": "dist/a.js", "y": "dist/b.js"}, None, "--package=server@latest PROGRAM, PROGRAM being x or y"),
        ({"x": "dist/a.js"}, "z", "has no program z"),
        ({}, None, "it has none at all"),
        (None, None, "it has none at all"),
        (7, None, "it has none at all"),
        ("dist/none.js", None, "is not in it"),
        ("../../../outside.js", None, "is not in it"),
        ("dist", None, "is not in it"),
    ],
)
async def test_a_package_without_such_a_program_is_an_error(
    tools: FakeTools, place: Path, bins: Any, named: str | None, problem: str
) -> None:
    (place.parent / "outside.js").touch()
    package(place, bins)
    with pytest.raises(ConfigError) as failed:
        await npm.program(Npm(NpmSpec("server"), (), named), PINNED, place)
    assert problem in str(failed.value)


async def test_a_package_that_cannot_be_read_is_an_error(tools: FakeTools, place: Path) -> None:
    with pytest.raises(ConfigError, match=r"package\.json cannot be read"):
        await npm.program(SERVER, PINNED, place)


@pytest.mark.parametrize(
    ("first", "flags"),
    [
        ("console.log()\n", ()),
        ("#!/usr/bin/node\n", ()),
        ("#!/usr/bin/env -S node --no-warnings\n", ("--no-warnings",)),
    ],
)
async def test_node_is_started_as_the_file_says(
    tools: FakeTools, place: Path, first: str, flags: tuple[str, ...]
) -> None:
    package(place, "dist/a.js", first=first)
    argv = (await npm.program(SERVER, PINNED, place)).argv
    assert argv == (str(tools.folder / "node"), *flags, f"{place}/node_modules/server/dist/a.js", "--x")


async def test_a_binary_is_started_itself(tools: FakeTools, place: Path) -> None:
    package(place, "dist/a.js", first="\x7fELF")
    program = await npm.program(SERVER, PINNED, place)
    assert (program.argv, program.runtime) == ((f"{place}/node_modules/server/dist/a.js", "--x"), (place,))


@pytest.mark.parametrize("first", ["#!/usr/bin/env bun\n", "#!/bin/sh\n", "#!/usr/bin/env\n", "#!\n"])
async def test_what_another_program_runs_is_an_error(tools: FakeTools, place: Path, first: str) -> None:
    package(place, "dist/a.js", first=first)
    with pytest.raises(ConfigError, match="only Node is supported"):
        await npm.program(SERVER, PINNED, place)
