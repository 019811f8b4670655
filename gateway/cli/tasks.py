"""`tasks …`: the ordered runs of one piece of work."""

from typing import Annotated, Final

import typer

from gateway.cli import options, replay
from gateway.cli.asking import run_admin
from gateway.cli.plain import plain
from gateway.cli.request import day
from gateway.cli.terminal import say, table, tell

app = typer.Typer(help="Pieces of work: the calls that belong together, in order.", no_args_is_help=True)
COLUMNS: Final = ("task", "principal", "runs", "unfinished", "first", "last")
RUNS: Final = ("run", "opened", "state", "ending", "code", "principal", "upstream", "tool")

Task = Annotated[str, typer.Argument(metavar="TASK")]


@app.callback()
def group() -> None:
    """Pieces of work: the calls that belong together, in order."""


@app.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 50,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List tasks, that with the newest call first.

    Example: bascule tasks list
    """
    found = run_admin("tasks_list", config, limit=limit)
    if json:
        tell(found)
        return
    rows = [
        {**one, "task": plain(one["task"]), "first": day(one["first"] / 1e6), "last": day(one["last"] / 1e6)}
        for one in found["tasks"]
    ]
    table(rows, COLUMNS, none="no tasks")


@app.command()
def show(task: Task, *, config: options.Config = None, json: options.Json = False) -> None:
    """Show the runs of a task in order, with how each ended.

    Example: bascule tasks show named:claude-code:ticket-7
    """
    found = run_admin("tasks_show", config, task=task)
    if json:
        tell(found)
        return
    table([{**run, "opened": day(run["opened"] / 1e6)} for run in found["runs"]], RUNS, none="no runs")
    say(f"{len(found['runs'])} run(s): " + ", ".join(f"{count} {ending}" for ending, count in found["endings"].items()))


@app.command("replay")
def replay_(
    task: Task, *, against: replay.Against = None, config: options.Config = None, json: options.Json = False
) -> None:
    """Decide each step of a task again from its records, and show what differs; runs nothing.

    Example: bascule tasks replay named:claude-code:ticket-7 --against policies
    """
    found = run_admin("tasks_replay", config, task=task, against=replay.place(against))
    replay.show(found, json=json)
