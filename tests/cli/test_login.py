"""`upstream login`: who is asked, what is shown, and a whole login where no browser is at hand."""

import asyncio
import json
import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.cli import login as command
from gateway.errors import ConfigError
from gateway.executors.oauth import login as executor
from gateway.executors.oauth.authorization import Account
from gateway.executors.oauth.login import Person
from gateway.executors.oauth.tokens import Login
from tests.executors.oauth.test_tokens import login
from tests.oauth.running import Protected, protected
from tests.serving import ROOT

AS_A_COMMAND = "import typer; from gateway.cli.login import login; app = typer.Typer(); app.command()(login); app()"
CONFIG = "version: 1\nstate: state\naudit: {{origin: example.org/bascule}}\nupstreams: {{{}}}\n"
CRM = 'crm: {url: "https://crm.example/mcp", auth: oauth}'
PLAIN = 'plain: {url: "https://plain.example/mcp", headers: {x-key: "${NOT_SET}"}}'
SECRET = 'own: {url: "https://own.example/mcp", auth: oauth, oauth: {client_id: us, client_secret: "${OWN_SECRET}"}}'


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A configuration with a state folder beside it."""
    (tmp_path / "state").mkdir(mode=0o700)
    path = tmp_path / "bascule.yaml"
    path.write_text(CONFIG.format(f"{CRM}, {PLAIN}, {SECRET}"))
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Account, Person]]:
    """Logins that succeed at once; who was asked for."""
    found: list[tuple[Account, Person]] = []

    async def log_in(account: Account, person: Person) -> Login:
        found.append((account, person))
        person.say("please: \x1b[2J")
        return login(tokens=login().tokens.model_copy(update={"refresh_token": None, "scope": "notes"}))

    monkeypatch.setattr(executor, "log_in", log_in)
    return found


Asked = list[tuple[Account, Person]]


def test_a_login_says_where_and_how_long_it_holds(
    configured: Path, asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    command.login("crm", no_browser=True, config=configured)
    [(account, person)] = asked
    assert (account.name, account.url) == ("crm", "https://crm.example/mcp")
    assert person.browser is None
    assert person.paste is not None
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("logged in at https://as.example; ")
    assert "gave no refresh token" in out
    assert err.startswith("please: \\u001b[2J\nnote: the login is not recorded: ")


def test_a_program_reads_json_and_no_token(configured: Path, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    command.login("crm", no_browser=True, config=configured, json=True)
    out = capsys.readouterr().out
    assert json.loads(out) == {
        "upstream": "crm",
        "issuer": "https://as.example",
        "scope": "notes",
        "expires_at": 1000.5,
    }
    assert len(asked) == 1


def test_only_the_secret_that_is_needed_is_looked_up(
    configured: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.login("crm", no_browser=True, config=configured)
    monkeypatch.setenv("OWN_SECRET", "planted-client-secret")
    monkeypatch.setenv("NOT_SET", "set")
    command.login("own", no_browser=True, config=configured)
    assert [account.oauth.client_secret for account, _ in asked] == [None, "planted-client-secret"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("cmr", "there is no upstream 'cmr'; there are: crm, plain, own"),
        ("plain", "nothing to log in to; auth: oauth"),
        ("own", "the environment variable OWN_SECRET is not set"),
    ],
)
def test_whom_nobody_logs_in_to(configured: Path, asked: Asked, name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        command.login(name, no_browser=True, config=configured)
    assert asked == []


def test_without_a_state_folder_there_is_no_place_for_a_login(configured: Path, asked: Asked) -> None:
    (configured.parent / "state").rmdir()
    with pytest.raises(ConfigError, match="bascule init makes it"):
        command.login("crm", no_browser=True, config=configured)


@pytest.mark.parametrize(
    ("platform", "environ", "opens"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
    ],
)
async def test_a_browser_is_opened_where_there_is_a_screen(
    monkeypatch: pytest.MonkeyPatch, platform: str, environ: dict[str, str], opens: bool
) -> None:
    opened: list[str] = []
    done = threading.Event()

    def browser(address: str) -> bool:
        opened.append(address)
        done.set()
        return True

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(webbrowser, "open", browser)
    window = command._window(environ)
    assert (window is not None) is opens
    if window is not None:
        await window("https://as.example/authorize")
        assert await asyncio.to_thread(done.wait, 10)
        assert opened == ["https://as.example/authorize"]


async def test_lines_are_read_until_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = os.pipe()
    monkeypatch.setattr(command, "_STDIN", here)
    os.write(there, b"one \xff")
    waiting = asyncio.ensure_future(command._line())
    os.write(there, b"line\n")
    assert await waiting == "one \ufffdline\n"
    os.close(there)
    assert await command._line() == ""
    os.close(here)


@pytest.mark.slow
async def test_a_person_on_another_machine_pastes_what_the_browser_ended_up_at(tmp_path: Path) -> None:
    async with protected() as server:
        (tmp_path / "state").mkdir(mode=0o700)
        config = tmp_path / "bascule.yaml"
        config.write_text(CONFIG.format(f'notes: {{url: "{server.url}", auth: oauth}}'))
        words = [sys.executable, "-c", AS_A_COMMAND, "notes", "--no-browser", "--json", "-c", str(config)]
        pipe: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
        child = await asyncio.create_subprocess_exec(*words, cwd=ROOT, **pipe)
        assert child.stdin
        assert child.stderr
        said = [(await child.stderr.readline()).decode() for _ in range(3)]
        argv = _argv(child.pid)
        async with httpx2.AsyncClient(verify=False, trust_env=False) as http:
            ended_up_at = (await http.get(said[1].strip())).headers["location"]
        out, err = await child.communicate(f"{ended_up_at}\n".encode())
        assert child.returncode == 0, err
        assert json.loads(out)["issuer"] == server.issuer
        assert said[0] == f"notes sends you to log in at {server.issuer}:\n"
        await _nothing_secret_in(server, out.decode() + err.decode() + "".join(said) + argv)


def _argv(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def _nothing_secret_in(server: Protected, text: str) -> None:
    await server.control()
    assert len(server.secrets) >= 3
    assert [secret for secret in server.secrets if secret in text] == []
