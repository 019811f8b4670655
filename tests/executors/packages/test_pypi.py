"""Python packages: what may be installed, and what of them is run."""

import json
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.executors.packages import pypi
from gateway.executors.packages.commands import Pypi
from gateway.executors.packages.installed import Pinned
from gateway.executors.packages.installer import Ended, finish
from gateway.executors.packages.interpreters import our_python
from tests.executors.fake_tools import FakeTools

SERVER = Pypi(("server",), "server", args=("--x",))
HERE = "{}.{}".format(*sys.version_info[:2])


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    tools = FakeTools(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tools.folder))
    tools.has_pypi("1.2.3")
    return tools


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


async def resolve(place: Path, command: Pypi = SERVER, *, allow_build: bool = False) -> Pinned:
    return await pypi.resolve(command, place, place / "cache", allow_build=allow_build)


async def install(place: Path, pinned: Pinned, command: Pypi = SERVER) -> None:
    await pypi.install(command, pinned, place, place / "cache")


async def test_a_package_is_resolved_to_its_version_and_a_digest_of_all_it_needs(tools: FakeTools, place: Path) -> None:
    pinned = await resolve(place)
    assert (pinned.spec, pinned.version, pinned.packages) == ("pypi:server", "pypi:server@1.2.3", 1)
    assert (pinned.scripts, pinned.python) == ((), HERE)
    assert pinned.digest == pypi.lock_digest(pinned.lock, HERE) != pypi.lock_digest(pinned.lock, "3.9")


async def test_uv_takes_wheels_only_fetches_no_python_and_sees_no_secret(
    tools: FakeTools, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TOKEN", "canary")
    await install(place, await resolve(place))
    compiled, made, filled = tools.calls
    for call in (compiled, filled):
        assert {"--only-binary", ":all:"} <= {*call["argv"]}
    assert {"--require-hashes", "--no-deps", "--compile-bytecode"} <= {*filled["argv"]}
    assert str(our_python()) in made["argv"]
    for call in tools.calls:
        assert {"--no-python-downloads", "--cache-dir", f"{place}/cache/uv"} <= {*call["argv"]}
        assert "canary" not in json.dumps(call)
    assert (place / "uv.toml").read_text() == ""


async def test_packages_named_beside_it_are_resolved_with_it(tools: FakeTools, place: Path) -> None:
    pinned = await resolve(place, Pypi(("server[x]>=1", "mcp<2"), "server"))
    assert (pinned.spec, pinned.version) == ("pypi:server[x]>=1 mcp<2", "pypi:server@1.2.3")
    assert (place / "requirements.in").read_text() == "server[x]>=1\nmcp<2\n"


NO_WHEEL = "Because all versions of docopt have no usable wheels and you require docopt"


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("Because x was not found in the package registry and you require x", "has no such package"),
        ("Because there is no version of x==9, your requirements are unsatisfiable", "no such version"),
        ("all versions of x were yanked", "no such version"),
        (NO_WHEEL, "set `allow_build: true` for this upstream"),
        ("the current Python version (3.11) does not satisfy Python>=3.12", "name one that is installed"),
        ("you require mcp<2 and mcp>2, we can conclude that your requirements are unsatisfiable", "exclude each other"),
        ("cause: Hash mismatch for `x==1`", "its digest differs"),
        ("error: Request failed after 3 retries in 7.7s", "cannot be reached"),
        ("No space left on device (os error 28)", "the disk is full"),
    ],
)  # fmt: skip
async def test_a_failure_of_uv_is_told_in_our_words(tools: FakeTools, place: Path, said: str, meaning: str) -> None:
    tools.says("uv pip compile", code=1, err=f"{said}\nhttps://me:canary@r.example/simple")
    with pytest.raises(ConfigError, match="pypi:server cannot be resolved: ") as failed:
        await resolve(place)
    assert meaning in str(failed.value)
    assert failed.value.__notes__ == [f"{said}\nhttps://r.example/simple"]


async def test_what_must_be_built_is_built_where_that_is_allowed_and_sees_no_secret(
    tools: FakeTools, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tool has no wheel: it fails when it is asked for one, so the second call asks for any file."""
    monkeypatch.setenv("NPM_TOKEN", "canary")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://r.example/simple")
    lock = tools.steps["uv pip compile"]
    tools.says("uv pip compile", code=1, err=NO_WHEEL)

    async def uv(asking: tuple[str, ...], *rest: object, builds: bool = False) -> object:
        if builds:
            tools.says("uv pip compile", **lock)
        return await real(asking, *rest, builds=builds)  # type: ignore[arg-type]

    real = pypi._uv
    monkeypatch.setattr(pypi, "_uv", uv)
    pinned = await resolve(place, allow_build=True)
    assert pinned.scripts == ("source distributions",)
    await install(place, pinned)
    first, second, _, filled = tools.calls
    assert "--only-binary" in first["argv"]
    for call in (second, filled):
        assert "--only-binary" not in call["argv"]
        assert call["env"]["HOME"] == str(place / "home")
        assert call["env"]["UV_DEFAULT_INDEX"] == "https://r.example/simple"
        assert "canary" not in json.dumps(call)
    assert not (place / "home").exists()


async def test_what_has_wheels_is_not_built_though_it_may_be(tools: FakeTools, place: Path) -> None:
    assert (await resolve(place, allow_build=True)).scripts == ()


async def test_what_has_no_hash_cannot_be_pinned(tools: FakeTools, place: Path) -> None:
    tools.says(
        "uv pip compile", writes={"requirements.lock": "server==1 \\\n    --hash=sha256:" + "0" * 64 + "\nb==2\n"}
    )
    with pytest.raises(ConfigError, match="no hash of b, so it cannot be pinned"):
        await resolve(place)


@pytest.mark.parametrize(
    ("step", "said"), [("uv venv", "No space left on device"), ("uv pip install", "Hash mismatch")]
)
async def test_a_failed_installation_is_an_error(tools: FakeTools, place: Path, step: str, said: str) -> None:
    pinned = await resolve(place)
    tools.says(step, code=2, err=said)
    with pytest.raises(ConfigError, match=r"pypi:server@1\.2\.3 cannot be installed: "):
        await install(place, pinned)


async def test_a_lock_for_one_python_is_not_installed_for_another(tools: FakeTools, place: Path) -> None:
    pinned = Pinned("pypi:server", "pypi:server@1", "sha256:00", 1, "", python="3.9")
    with pytest.raises(ConfigError, match=f"it is pinned for Python 3.9, and this is {HERE}"):
        await install(place, pinned)


async def test_another_python_is_looked_for_by_version(tools: FakeTools, place: Path) -> None:
    tools.says("uv python find", out=str(our_python()))
    command = Pypi(("server",), "server", "3.12")
    assert (await resolve(place, command)).spec == "pypi:server python=3.12"
    assert "3.12" in tools.calls[0]["argv"]
    tools.says("uv python find", code=2, err="error: No interpreter found for Python 3.12")
    with pytest.raises(ConfigError, match=r"Python 3\.12 is asked for: the Python that is asked for is not installed"):
        await resolve(place, command)


async def test_another_python_may_be_named_by_path(tools: FakeTools, place: Path) -> None:
    assert (await resolve(place, Pypi(("server",), "server", str(our_python())))).python == HERE
    with pytest.raises(ConfigError, match="the Python /no/such does not run"):
        await resolve(place, Pypi(("server",), "server", "/no/such"))


def test_uv_of_our_own_environment_stands_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "uv.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert pypi.uv() == (sys.executable, "-P", "-m", "uv")


def test_without_uv_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(pypi, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="uv is not installed: pip install uv"):
        pypi.uv()


async def installed(tools: FakeTools, place: Path, scripts: str) -> Pinned:
    tools.has_pypi("1.2.3", scripts=scripts)
    pinned = await resolve(place)
    await install(place, pinned)
    return pinned


async def test_the_program_is_the_console_script_with_the_environments_own_python(
    tools: FakeTools, place: Path
) -> None:
    pinned = await installed(tools, place, "Server = server.cli:app.main")
    program = pypi.program(SERVER, pinned, place)
    assert program.argv[:2] == (f"{place}/venv/bin/python", "-c")
    assert program.argv[3:] == ("--x",)
    assert program.env == {"PYTHONDONTWRITEBYTECODE": "1"}
    assert program.runtime[0] == place
    assert all(not path.is_relative_to(place) for path in program.runtime[1:])
    assert (program.version, program.digest) == (pinned.version, pinned.digest)


async def test_what_is_started_does_what_the_console_script_does(tools: FakeTools, place: Path) -> None:
    """It sees its name and arguments, its answer is the exit code, and no module comes from where it works."""
    text = pypi.program(SERVER, await installed(tools, place, "server = server.cli:app.main"), place).argv[2]
    module = "import sys\nclass app:\n    @staticmethod\n    def main():\n        print(sys.argv)\n        return 7\n"
    (place / "lib" / "server").mkdir(parents=True)
    (place / "lib" / "server" / "cli.py").write_text(module)
    (place / "work").mkdir()
    (place / "work" / "server.py").write_text("raise SystemExit('from the working directory')")
    argv = [sys.executable, "-c", text, "--x"]
    ran = await finish(argv, env={"PYTHONPATH": str(place / "lib")}, cwd=place / "work", timeout_s=60)
    assert ran == Ended(7, "['server', '--x']\n", "")


@pytest.mark.parametrize(
    ("scripts", "problem"),
    [
        ("other = a:b\nmore = a:c", "has no console script server: uvx --from server more or other"),
        ("", "it has none at all"),
        ("server = a", "names no function"),
        ("server = a:b c", "names no function"),
        ("server = a;import os:b", "names no function"),
    ],
)
async def test_a_package_without_such_a_script_is_an_error(
    tools: FakeTools, place: Path, scripts: str, problem: str
) -> None:
    pinned = await installed(tools, place, scripts)
    with pytest.raises(ConfigError) as failed:
        pypi.program(SERVER, pinned, place)
    assert problem in str(failed.value)


async def test_a_binary_that_a_wheel_brings_is_started_itself(tools: FakeTools, place: Path) -> None:
    pinned = await installed(tools, place, "")
    (place / "venv" / "bin" / "server").write_bytes(b"\x7fELF")
    assert pypi.program(SERVER, pinned, place).argv == (f"{place}/venv/bin/server", "--x")


async def test_only_scripts_of_the_packages_that_are_named_are_started(tools: FakeTools, place: Path) -> None:
    pinned = await installed(tools, place, "server = a:b")
    with pytest.raises(ConfigError, match="has no console script server"):
        pypi.program(Pypi(("other",), "server"), pinned, place)
    assert pypi.program(Pypi(("other", "server[x]<2"), "server"), pinned, place).argv


async def test_a_python_that_is_gone_is_an_error(tools: FakeTools, place: Path) -> None:
    pinned = await installed(tools, place, "server = a:b")
    (place / "venv" / "bin" / "python").unlink()
    (place / "venv" / "bin" / "python").symlink_to("/no/such/python")
    with pytest.raises(ConfigError, match="/no/such/python, is no longer there"):
        pypi.program(SERVER, pinned, place)
