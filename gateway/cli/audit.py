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
def search(  # noqa: PLR0913 - one for each option
    *,
    principal: Annotated[str, typer.Option(metavar="ID", help="Who asked.")] = "",
    upstream: Annotated[str, typer.Option(metavar="NAME", help="Which upstream.")] = "",
    tool: Annotated[str, typer.Option(metavar="NAME", help="Which tool.")] = "",
    ending: Annotated[str, typer.Option(metavar="HOW", help="done, failed, withheld, unknown or refused.")] = "",
    code: Annotated[str, typer.Option(metavar="CODE", help="Such as POLICY_DENIED.")] = "",
    effect: Annotated[str, typer.Option(metavar="WHAT", help="What policy said: allow, deny, require_approval.")] = "",
    session: Annotated[str, typer.Option(metavar="ID", help="Of this session.")] = "",
    task: Annotated[str, typer.Option(metavar="ID", help="Of this task.")] = "",
    since: Annotated[str, typer.Option(metavar="TIME", help="24h, 7d, or a date or moment in UTC.")] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Up to then.")] = "",
    text: Annotated[str, typer.Option(metavar="WORD", help="In the arguments, or in why it was refused.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 50,
    before: Annotated[str, typer.Option(metavar="RUN", help="Go on from here.")] = "",
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Find calls: who called what, newest first.

    Example: bascule audit search --principal claude-code --ending refused --since 24h
    """
    inside = {"effect": effect, "session": session, "task": task, "text": text, "since": since, "until": until}
    outside = {"principal": principal, "upstream": upstream, "tool": tool, "ending": ending, "code": code}
    filters = {name: value for name, value in (outside | inside).items() if value}
    found = run_admin("audit_search", config, filters=filters, limit=limit, before=before)
    if json:
        tell(found)
        return
    table(found["runs"], FOUND, none="no call was found")
    if found["not_kept"]:
        _warn(f"payload not kept: {found['not_kept']} calls could not be looked into")
    if found["more"]:
        bound = f" ({found['looked']} were looked through)" if found["bounded"] else ""
        _warn(f"there may be more{bound}: --before {found['more']}")


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


FOUND = ("time", "principal", "upstream", "tool", "effect", "ending", "code", "record", "run")
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


def _warn(text: str) -> None:
    """For the person, apart from what a pipe carries on."""
    typer.echo(printable(text), err=True)
