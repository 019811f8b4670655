"""`wrap` as typer knows it, for `--help` and for words the fast path does not understand; and the owner's own log."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Annotated, TextIO

import typer

from gateway.cli import options, owning


def wrap(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND …", help="A server that is not registered.")
    ] = None,
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="The upstream; of a command, what it is called.")] = "",
    principal: Annotated[
        str, typer.Option("--as", metavar="PRINCIPAL", help="Who the client is. Default: the only one.")
    ] = "",
    folder: Annotated[
        list[str] | None, typer.Option(metavar="PATH[:rw]", help="A folder that the command sees; to write with :rw.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="VARIABLE", help="A variable of this environment that it is given.")
    ] = None,
    config: options.Config = None,
) -> None:
    """Be a governed stdio server, for a client's configuration; starts the gateway where none runs.

    Example: bascule wrap --name files
    """
    from gateway.cli import shim

    what = shim.Asked()
    what.name, what.principal, what.config = name, principal, str(config or "")
    what.folders, what.env, what.command = folder or [], env or [], command or []
    raise typer.Exit(shim.run(what))


class _Private(RotatingFileHandler):
    """A log that nobody else may read, each time it is begun anew."""

    def _open(self) -> TextIO:  # type: ignore[override]
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")


def own_log(state: Path) -> RotatingFileHandler:
    """Where a gateway says what it has to say whose starter does not stay: bounded, in the state folder."""
    return _Private(state / owning.LOG, maxBytes=owning.LOG_BYTES, backupCount=1)
