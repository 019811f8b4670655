"""`brake …`: slow, question or stop what somebody does, from the next decision on."""

import re
from typing import Annotated, Final

import typer

from gateway.cli import options
from gateway.cli.asking import run_admin
from gateway.cli.plain import plain
from gateway.cli.request import day
from gateway.cli.terminal import table, tell
from gateway.errors import ConfigError
from gateway.model import JsonObject

app = typer.Typer(help="Slow, question or stop what somebody does.", no_args_is_help=True)
COLUMNS: Final = ("subject", "level", "seconds", "until", "reason", "by")
_SPAN: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Subject = Annotated[
    str, typer.Argument(metavar="SUBJECT", help="everything, tenant:T, principal:P, upstream:U or tool:U/T.")
]


@app.callback()
def group() -> None:
    """Slow, question or stop what somebody does."""


@app.command("list")
def list_(*, config: options.Config = None, json: options.Json = False) -> None:
    """List the brakes in force.

    Example: bascule brake list
    """
    _show(run_admin("brake_list", config), json=json)


@app.command("set")
def set_(
    subject: Subject,
    level: Annotated[str, typer.Argument(metavar="LEVEL", help="slow, ask or stop.")],
    *,
    seconds: Annotated[int, typer.Option("--seconds", help="Of a slow one: between two calls.")] = 5,
    lasts: Annotated[str, typer.Option("--for", metavar="TIME", help="30m, 4h, 2d; without it until released.")] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; for other operators.")] = "",
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Press the brake: it is in force with the next decision, and over restarts.

    Example: bascule brake set principal:claude-code stop --for 1h --reason "it deletes in a loop"
    """
    span = _SPAN.fullmatch(lasts) if lasts else None
    if lasts and span is None:
        raise ConfigError("--for is a time such as 30m, 4h or 2d")
    lasts_s = int(span[1]) * _SECONDS[span[2]] if span else 0
    given = {"subject": subject, "level": level, "seconds": seconds, "lasts_s": lasts_s, "reason": reason}
    _show(run_admin("brake_set", config, **given), json=json)


@app.command()
def release(subject: Subject, *, config: options.Config = None, json: options.Json = False) -> None:
    """Release a brake.

    Example: bascule brake release principal:claude-code
    """
    _show(run_admin("brake_release", config, subject=subject), json=json)


def _show(found: JsonObject, *, json: bool) -> None:
    if json:
        tell(found)
        return
    rows = [
        {**one, "until": day(one["until"]) if one["until"] else "", "reason": plain(one["reason"])}
        for one in found["brakes"]
    ]
    table(rows, COLUMNS, none="no brake is set")
    if note := found.get("note"):
        typer.echo(f"note: {plain(note)}", err=True)
