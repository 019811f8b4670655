"""The real registries and the real tools, and how they say no."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.executors.packages import npm, pypi
from gateway.executors.packages.commands import Npm, NpmSpec, Pypi, read_command
from gateway.executors.packages.installer import finish
from gateway.executors.packages.store import Packages

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"
REFUSED = [
    ("npx", ["-y", "@modelcontextprotocol/no-such-server-here"], "the registry has no such package"),
    ("npx", ["-y", "@modelcontextprotocol/server-memory@99.0.0"], "has no such version, or no longer has it"),
    ("npx", ["-y", "core-js@3.39.0"], "core-js runs a script while it is installed"),
    ("npx", ["-y", "is-number@7.0.0"], "has no program"),
    ("uvx", ["no-such-package-of-bascule-here"], "the registry has no such package"),
    ("uvx", ["mcp-server-time==1999.1"], "has no such version, or no longer has it"),
    ("uvx", ["docopt==0.6.2"], "no wheel of it"),
    ("uvx", ["futures==3.3.0"], "another Python"),
    ("uvx", ["--with", "mcp>1", "--with", "mcp<1", "mcp-server-time"], "exclude each other"),
    ("uvx", ["iniconfig==2.0.0"], "has no console script iniconfig: it has none at all"),
    ("uvx", ["--python", "3.99", "mcp-server-time"], "the Python that is asked for is not installed"),
]


@pytest.mark.parametrize(("command", "args", "why"), REFUSED)
async def test_what_cannot_be_had_is_told_in_our_words(tmp_path: Path, command: str, args: list[str], why: str) -> None:
    packages = Packages(tmp_path)
    with pytest.raises(ConfigError) as refused:
        await packages.program("server", read_command(command, args))
    assert why in str(refused.value)
    assert packages.describe("server") is None


@pytest.mark.parametrize(("command", "args"), [("npx", ["-y", "is-number"]), ("uvx", ["iniconfig"])])
async def test_a_registry_that_cannot_be_reached_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, args: list[str]
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", NOWHERE)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://me:canary@127.0.0.1:9/simple")
    with pytest.raises(ConfigError, match="the registry cannot be reached") as refused:
        await Packages(tmp_path).program("server", read_command(command, args))
    assert "canary" not in "".join([str(refused.value), *refused.value.__notes__])


@pytest.mark.parametrize(
    ("command", "args"), [("npx", ["-y", "semver@7.6.3"]), ("uvx", ["--from", "pygments==2.18.0", "pygmentize"])]
)
async def test_a_file_whose_digest_is_not_the_pinned_one_is_not_installed(
    tmp_path: Path, command: str, args: list[str]
) -> None:
    asked = read_command(command, args)
    packages = Packages(tmp_path)
    honest = await packages.newest("server", asked)
    assert honest is not None
    assert isinstance(asked, Npm | Pypi)
    lock = re.sub(r"sha256:[0-9a-f]{4}", "sha256:0000", re.sub(r"sha512-[A-Za-z0-9+/]{4}", "sha512-0000", honest.lock))
    digest = npm.lock_digest(lock) if command == "npx" else pypi.lock_digest(lock, honest.python)
    with pytest.raises(ConfigError, match="what the registry sent is not what it announced: its digest differs"):
        await packages.accept("server", asked, replace(honest, lock=lock, digest=digest))
    assert packages.describe("server") is None


async def test_a_source_distribution_is_built_where_that_is_allowed(tmp_path: Path) -> None:
    asked = read_command("uvx", ["--with", "docopt==0.6.2", "--from", "pygments", "pygmentize", "-V"])
    packages = Packages(tmp_path)
    program = await packages.program("server", asked, allow_build=True)
    assert json.loads((tmp_path / "server" / "pinned.json").read_text())["scripts"] == ["source distributions"]
    assert program.version.startswith("pypi:pygments@")


async def test_an_install_script_runs_where_that_is_allowed(tmp_path: Path) -> None:
    asked = read_command("npx", ["-y", "-p", "semver@7.6.3", "-p", "core-js@3.39.0", "semver", "1.2.3"])
    packages = Packages(tmp_path)
    program = await packages.program("server", asked, allow_build=True)
    assert json.loads((tmp_path / "server" / "pinned.json").read_text())["scripts"] == ["core-js"]
    assert program.argv[-2:] == (str(program.runtime[0] / "node_modules/semver/bin/semver.js"), "1.2.3")


@pytest.mark.parametrize("told", [True, False], ids=["a new npm", "an npm that knows no --allow-git"])
async def test_a_dependency_from_a_repository_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, told: bool
) -> None:
    """npm would clone it and prepare it before there is a lock that could be judged."""
    repository = await repository_with_a_script(tmp_path)
    asked = NpmSpec("evil", f"git+file://{repository}")
    if not told:
        monkeypatch.setattr(npm, "_REGISTRY_ONLY", ())
    with pytest.raises(ConfigError, match="comes from a repository or an address, not from the registry"):
        await Packages(tmp_path / "packages").program("server", Npm(asked))
    assert not (repository / "ran").exists()


async def repository_with_a_script(folder: Path) -> Path:
    repository = folder / "evil"
    repository.mkdir()
    ran = f"touch {repository}/ran"
    described = {"name": "evil", "version": "1.0.0", "scripts": {"prepare": ran, "install": ran}, "bin": "x.js"}
    (repository / "package.json").write_text(json.dumps(described))
    (repository / "x.js").touch()
    author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for step in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "x")):
        ended = await finish(["git", *step], env={"PATH": "/usr/bin:/bin"}, cwd=repository, timeout_s=20)
        assert ended.code == 0, ended.said
    return repository
