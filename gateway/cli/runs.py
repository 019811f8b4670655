"""`runs …`: what became of the calls."""

from typing import Annotated

import typer

from gateway.cli import options
from gateway.cli.asking import run_admin
from gateway.cli.terminal import table, tell

app = typer.Typer(help="What became of the calls.", no_args_is_help=True)
COLUMNS = ("run", "state", "ending", "code", "principal", "upstream", "tool")


@app.callback()
def group() -> None:
    """What became of the calls."""


@app.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 50,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Only those whose end nobody can vouch for.")
    ] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List runs, newest first; `frozen` ones wait for a person.

    Example: bascule runs list --unfinished
    """
    found = run_admin("runs_list", config, limit=limit, unfinished=unfinished)
    if json:
        tell(found)
    else:
        table(found["runs"], COLUMNS, none="no runs")
