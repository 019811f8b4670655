"""`runs …`: what became of the calls."""

from typing import Annotated

import typer

from gateway.cli import options, replay
from gateway.cli.asking import run_admin
from gateway.cli.plain import plain
from gateway.cli.request import day
from gateway.cli.terminal import say, table, tell
from gateway.model import JsonObject

app = typer.Typer(help="What became of the calls.", no_args_is_help=True)
RECORDS = ("index", "time", "record", "effect", "action", "code", "ending", "approval")
COLUMNS = ("run", "state", "ending", "code", "principal", "upstream", "tool")

Run = Annotated[str, typer.Argument(metavar="RUN")]


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


@app.command()
def show(run: Run, *, config: options.Config = None, json: options.Json = False) -> None:
    """Show a run: its state, its records in order, what waits, and what can be done next.

    Example: bascule runs show 0198c0de-0000-7000-8000-000000000001
    """
    found = run_admin("runs_show", config, run=run)
    if json:
        tell(found)
        return
    for name in ("run", "state", "ending", "code", "principal", "tenant", "task", "upstream", "tool"):
        if found[name]:
            say(f"{name}: {plain(str(found[name]))}")
    for name, other in found["links"].items():
        say(f"{name}: {other}")
    table([_record(one) for one in found["records"]], RECORDS, none="no record of it was found")
    if found["approval"]:
        say(_approval(found["approval"]))
    if found["next"]:
        say(f"next: {plain(found['next'])}")


@app.command()
def resolve(
    run: Run,
    *,
    came_to: Annotated[
        str, typer.Option("--as", metavar="ENDING", help="done: its effect happened; failed: it did not.")
    ],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="How you know; it is recorded.")] = "",
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Say what a frozen run came to, once you have looked; runs nothing.

    Example: bascule runs resolve 0198c0de-0000-7000-8000-000000000001 --as failed --reason "the order is still open"
    """
    found = run_admin("runs_resolve", config, run=run, came_to=came_to, reason=reason)
    if json:
        tell(found)
    else:
        say(f"run {found['run']} is {found['state']}: {found['ending']}")


@app.command("replay")
def replay_(
    run: Run, *, against: replay.Against = None, config: options.Config = None, json: options.Json = False
) -> None:
    """Decide each step of a run again from its records, and show what differs; runs nothing.

    Example: bascule runs replay 0198c0de-0000-7000-8000-000000000001 --against policies
    """
    found = run_admin("runs_replay", config, run=run, against=replay.place(against))
    replay.show(found, json=json)


def _record(one: JsonObject) -> JsonObject:
    decision = one["decision"] or {}
    said = {"effect": decision.get("effect"), "action": decision.get("action"), "code": decision.get("code")}
    return {**said, **one}


def _approval(one: JsonObject) -> str:
    answers = ", ".join(f"{plain(said['approver'])}: {said['verdict']}" for said in one["answers"])
    until = f"until {day(one['expires'])}"
    return f"approval {one['approval']}: {one['state']}, {until}, needs {one['needed']}; {answers or 'no answer yet'}"
