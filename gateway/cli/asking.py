"""One way to every operator action: the process that owns the state folder does it, without one we do it here."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import os
from pathlib import Path
from typing import Any

from gateway.cli.terminal import working
from gateway.model import JsonObject


def run_admin(action: str, file: Path | None, **given: Any) -> JsonObject:
    """Ask the owner; where nobody owns the folder, do the same action here."""
    from gateway import config
    from gateway.transports.control import ask

    path = config.find(file)
    with working(action.replace("_", " ")):
        answer = ask(config.outline(path).state, action, **given)
        return _here(action, path, given) if answer is None else answer


def renewed(file: Path) -> bool:
    """Let the gateway that runs, where one does, read its configuration again; whether one did."""
    from gateway import config
    from gateway.transports.control import ask

    return ask(config.outline(file).state, "reload") is not None


def without_state(action: str, **given: Any) -> JsonObject:
    """An action that needs neither a configuration nor a state folder: it is about files alone."""
    import asyncio

    from gateway import admin

    with working(action.replace("_", " ")):
        answer: JsonObject = asyncio.run(getattr(admin, action)(None, operator=operator(), **given))
    return answer


def operator() -> str:
    """Who asks, as the control socket would name them."""
    from gateway.transports.control import user_name

    return f"os:{user_name(os.getuid())}"


def _here(action: str, path: Path, given: dict[str, Any]) -> JsonObject:
    import asyncio

    from gateway import admin, app, config

    # What only reads the log reaches no upstream, so it needs no secret.
    reads = action in {one.__name__ for one in admin.ON_ARCHIVE}
    settings = config.outline(path) if reads else config.load(path)
    return asyncio.run(app.act(settings, action, operator=operator(), **given))
