"""`upstream login`: a person logs in to a server, so that the gateway may act there.

Not asked of the gateway that runs: the browser and the person are here. It takes the login from the state folder.
"""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import asyncio
import os
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import options
from gateway.cli.asking import run_admin
from gateway.cli.terminal import printable, say, tell
from gateway.errors import BasculeError, ConfigError

if TYPE_CHECKING:
    from gateway.executors.oauth.authorization import Account
    from gateway.executors.oauth.tokens import Login

_STDIN = 0


def login(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address; the one it ends up at may be pasted back.")
    ] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Log in to an upstream that wants a person's consent (`auth: oauth`).

    Example: bascule upstream login crm
    """
    browser = _window(os.environ)
    made = asyncio.run(_logged_in(_account(name, config), None if no_browser else browser))
    try:
        run_admin("upstream_logged_in", config, name=name, issuer=made.issuer, scope=made.tokens.scope)
    except BasculeError as problem:  # the login holds all the same
        _aside(f"note: the login is not recorded: {str(problem).splitlines()[0]}")
    if json:
        tell({"upstream": name, "issuer": made.issuer, "scope": made.tokens.scope, "expires_at": made.expires_at})
        return
    say(f"logged in at {printable(made.issuer)}; a gateway that runs uses it from its next call on")
    if made.tokens.refresh_token is None:
        say("the server gave no refresh token: once this login ends, somebody has to log in again")


def _account(name: str, file: Path | None) -> "Account":
    from gateway import config
    from gateway.executors.oauth.authorization import account

    path = config.find(file)
    settings = config.outline(path)
    upstream = settings.upstreams.get(name)
    if upstream is None:
        known = ", ".join(settings.upstreams) or "none"
        raise ConfigError(f"there is no upstream '{name}'; there are: {known}", file=str(path))
    if upstream.oauth is not None and upstream.oauth.client_secret is not None:
        settings = config.load(path)  # only now: the secrets of others may not be at hand here
        upstream = settings.upstreams[name]
    if not settings.state.is_dir():
        raise ConfigError("there is no state folder: bascule init makes it", file=str(settings.state))
    return account(name, upstream, settings.state)


async def _logged_in(account: "Account", browser: Callable[[str], Awaitable[None]] | None) -> "Login":
    from gateway.executors.oauth.login import Person, log_in

    return await log_in(account, Person(_aside, browser, None if browser else _line))


def _aside(text: str) -> None:
    """For the person, so that standard output stays the program's."""
    print(printable(text), file=sys.stderr, flush=True)


def _window(environ: Mapping[str, str]) -> Callable[[str], Awaitable[None]] | None:
    """What opens a browser's window; None where there is no screen, as over SSH: a browser in this terminal would
    take it away from the person.
    """
    if sys.platform.startswith("linux") and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return None

    async def opened(address: str) -> None:
        # A list of arguments, never a shell; and the address was checked to be nothing but one.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    return opened


async def _line() -> str:
    """The next line of standard input, without a wait that would outlive the login; empty at its end."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        text = b""
        with suppress(OSError):
            while not text.endswith(b"\n") and len(text) < 65_536 and (chunk := os.read(_STDIN, 4096)):
                text += chunk
        with suppress(RuntimeError):  # the login is over, and its loop with it
            loop.call_soon_threadsafe(lambda: None if line.done() else line.set_result(text.decode(errors="replace")))

    threading.Thread(target=read, daemon=True).start()
    return await line
