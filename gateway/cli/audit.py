"""`audit …`: read the log, verify it, prove a record to somebody else."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import options
from gateway.cli.asking import run_admin
from gateway.cli.terminal import Status, printable, say, table, tell
from gateway.errors import ConfigError
from gateway.model import JsonObject

app = typer.Typer(help="The signed log of all that was asked, decided and done.", no_args_is_help=True)


@app.command()
def tail(
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many.")] = 20,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Show the newest records, oldest first.

    Example: bascule audit tail -n 5
    """
    found = run_admin("audit_tail", config, count=count)
    if json:
        tell(found)
    else:
        table([_row(record) for record in found["records"]], COLUMNS, none="the log is empty")


@app.command()
def show(
    record: Annotated[str, typer.Argument(metavar="ID", help="Index, record id, decision id or run id.")],
    *,
    config: options.Config = None,
) -> None:
    """Show one record, or a run's records, with what is sealed where it is still kept.

    Example: bascule audit show 17
    """
    tell(run_admin("audit_show", config, record=record))


@app.command()
def verify(
    *,
    head: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A signed head kept elsewhere: the log must still contain it.")
    ] = None,
    database: Annotated[Path | None, typer.Option(metavar="FILE", help="A copy of the log instead.")] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Recompute everything and name what does not agree; status 6 where the log is not intact.

    Example: bascule audit verify --head kept-elsewhere.txt
    """
    copy = str(database.absolute()) if database else None
    found = run_admin("audit_verify", config, head=_text(head) if head else None, database=copy)
    if json:
        tell(found)
    else:
        _show_verdict(found)
    if not found["intact"]:
        raise typer.Exit(Status.NOT_INTACT)


@app.command()
def prove(
    index: Annotated[int, typer.Argument(metavar="INDEX", min=0)],
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the proof there.")] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Prove one record to somebody who holds only the public key (c2sp.org/tlog-proof).

    Example: bascule audit prove 17 --out 17.tlog-proof
    """
    found = run_admin("audit_prove", config, index=index)
    if out is not None:
        out.write_text(found["proof"], encoding="utf-8")
    if json:
        tell(found)
    elif out is None:
        print(found["proof"], end="")
    else:
        say(f"{out}: proof of record {index}\npublic key: {found['public_key']}")


COLUMNS = ("index", "time", "kind", "upstream", "tool", "effect", "ending", "code", "run")


def _row(record: JsonObject) -> JsonObject:
    leaf: JsonObject = record["leaf"]
    said = {"index": record["index"], "time": leaf["ts"], "effect": leaf.get("decision", {}).get("effect")}
    return leaf | said


def _show_verdict(found: JsonObject) -> None:
    for finding in found["findings"]:
        say(printable(f"{finding['where']}: {finding['what']}"))
    counts = ", ".join(f"{count} {name}" for name, count in found["checked"].items())
    say(f"{'intact' if found['intact'] else 'NOT INTACT'}: {found['signed']} of {found['size']} records signed")
    say(f"checked: {counts}\nroot {found['root']}")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError("cannot be read as text", file=str(file)) from None
