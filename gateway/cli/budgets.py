"""`budgets …`: what may be used up, and what is left of it."""

from collections.abc import Iterator
from typing import Final

import typer

from gateway.cli import options
from gateway.cli.asking import run_admin
from gateway.cli.plain import plain
from gateway.cli.terminal import table, tell
from gateway.model import JsonObject

app = typer.Typer(help="What may be used up, and what is left of it.", no_args_is_help=True)
COLUMNS: Final = ("budget", "of", "whose", "limit", "used", "reserved", "left", "frees_in_s")


@app.callback()
def group() -> None:
    """What may be used up, and what is left of it."""


@app.command("list")
def list_(*, config: options.Config = None, json: options.Json = False) -> None:
    """List the budgets: what of each is used and reserved, and in how many seconds it begins anew.

    Example: bascule budgets list
    """
    found = run_admin("budgets_list", config)
    if json:
        tell(found)
        return
    table(list(_rows(found)), COLUMNS, none="no budget is declared")


def _rows(found: JsonObject) -> Iterator[JsonObject]:
    for one in found["budgets"]:
        said = {"budget": one["name"], "of": one["of"], "limit": one["limit"]}
        if not one["counters"]:
            yield {**said, "whose": "", "used": 0, "reserved": 0, "left": one["limit"], "frees_in_s": ""}
        for counter in one["counters"]:
            whose = " ".join(f"{name}:{plain(str(value))}" for name, value in counter["scope"].items())
            yield {**said, **counter, "whose": whose, "frees_in_s": counter["frees_in_s"] or ""}
