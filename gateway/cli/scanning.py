"""`scan`: what still goes past Bascule."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import options
from gateway.cli.terminal import Status, printable, say, table, tell
from gateway.errors import ConfigError


def scan(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Further files to look at.", show_default=False)
    ] = None,
    *,
    fail: Annotated[
        bool, typer.Option("--fail", help="End with 1 when a server goes past, or a file cannot be read.")
    ] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List the servers that clients still reach past Bascule: the user's files, this project's, those of plugins.

    Example: bascule scan --fail
    """
    from gateway.cli.adopting import surroundings
    from gateway.clients import places, scanning

    around = surroundings()
    found = scanning.scan(around, [places.named(file, around) for file in files or []], _port(config))
    rows = [
        {"server": one.name, "client": one.client, "state": one.state, "reaches": one.reaches, "file": str(one.file)}
        for one in found.servers
    ]
    if json:
        unreadable = [{"file": file, "problem": problem} for file, problem in found.unreadable]
        tell({"servers": rows, "unreadable": unreadable, "files": found.looked, "past": found.past})
    else:
        table(rows, ("server", "client", "state", "reaches", "file"), none="no client has a server")
        for file, problem in found.unreadable:
            say(f"not read: {file}: {printable(problem)}")
        if found.past:
            say(f"{found.past} of {len(rows)} go past Bascule: bascule init --from all shows what would change")
    if fail and (found.past or found.unreadable):
        raise typer.Exit(Status.FAILED)


def _port(explicit: Path | None) -> int | None:
    """The gateway's port, by which an address of ours is told; None where there is no configuration."""
    from gateway import config

    try:
        file = config.find(explicit)
    except ConfigError:
        return None
    return config.outline(file).listen.port
