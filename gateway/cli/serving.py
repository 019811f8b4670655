"""`serve`, `doctor`, `version`: the gateway itself."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

from typing import Annotated

import typer

from gateway.cli import options
from gateway.cli.terminal import Status, say, table, tell


def serve(
    *,
    config: options.Config = None,
    idle: Annotated[float | None, typer.Option("--idle", metavar="SECONDS", hidden=True, min=1)] = None,
) -> None:
    """Serve until told to stop; SIGHUP reads the configuration and the policies again.

    Example: bascule serve -c gateway/bascule.yaml
    """
    import logging
    import os

    from gateway.config import find, load

    settings = load(find(config))
    from gateway import app
    from gateway.cli.wrapping import own_log

    handlers = None
    if idle is not None:
        os.chdir("/")  # the folder of the client that started it is not held
        handlers = [own_log(settings.state)]
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, handlers=handlers)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    raise typer.Exit(app.serve(settings, idle_s=idle))


def doctor(*, config: options.Config = None, json: options.Json = False) -> None:
    """Say what can be enforced here and what not, with evidence and fix; fails where a setting cannot hold.

    Example: bascule doctor
    """
    from gateway.cli.asking import run_admin

    found = run_admin("doctor", config)
    if json:
        tell(found)
    else:
        table(found["lines"], ("name", "state", "evidence", "fix"), none="nothing to say")
    if not found["sound"]:
        raise typer.Exit(Status.FAILED)


def version(*, json: options.Json = False) -> None:
    """Say which version this is.

    Example: bascule version
    """
    from gateway import __version__

    if json:
        tell({"version": __version__})
    else:
        say(f"bascule {__version__}")
