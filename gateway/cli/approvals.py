"""`approvals …`: what waits for people, shown whole, and answered.

What is signed is what was shown: the digest is made here, from the proposal on the screen.
"""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import json as text_of_json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.cli import approver, options, remote
from gateway.cli.asking import run_admin
from gateway.cli.plain import plain
from gateway.cli.request import day, shown
from gateway.cli.terminal import Status, say, table
from gateway.errors import ConfigError, Refused
from gateway.model import Code, JsonObject

app = typer.Typer(help="What waits for people, and their answers.", no_args_is_help=True)
COLUMNS: Final = ("approval", "state", "principal", "upstream", "tool", "answers", "opened", "expires")
LONGEST_REASON: Final = 1000

Id = Annotated[str, typer.Argument(metavar="ID")]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="Sign as this enrolled approver.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the answer.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="A gateway elsewhere, such as https://gate.example. Default: the one here."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Ask no question; the passphrase is asked all the same.")]


@dataclass(frozen=True, slots=True)
class Where:
    """The gateway that is asked: the one of a configuration here, or the one at an address."""

    config: Path | None
    url: str | None
    token: str | None


app.command("enroll")(approver.enroll)


@app.callback()
def group() -> None:
    """What waits for people, and their answers."""


@app.command("list")
def list_(
    *,
    all_: Annotated[bool, typer.Option("--all", help="Also those that can be used no more.")] = False,
    url: Url = None,
    token: options.Token = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List approvals that wait, or are granted and not used yet, newest first.

    Example: bascule approvals list
    """
    if url is not None and all_:
        raise ConfigError("--all belongs to the gateway's own machine: with --url only what waits for you is listed")
    found = run_admin("approvals_list", config, all=all_) if url is None else remote.at(url, token, "approvals_list")
    if json:
        _tell(found)
    else:
        table([_row(one) for one in found["approvals"]], COLUMNS, none="nothing waits for a person")


@app.command()
def show(
    approval: Id,
    *,
    url: Url = None,
    token: options.Token = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Show what exactly would run: every argument whole, who asks, why, what can be undone, who has answered.

    Example: bascule approvals show 0198c0de-0000-7000-8000-000000000001
    """
    found = _asked("approvals_show", Where(config, url, token), approval=approval)
    if json:
        _tell(found)
        return
    _digest(approval, found)
    for line in shown(found):
        say(line)


@app.command()
def grant(
    approval: Id,
    *,
    name: As = "",
    key: approver.Key = None,
    reason: Reason = "",
    yes: Yes = False,
    url: Url = None,
    token: options.Token = None,
    config: options.Config = None,
) -> None:
    """Let exactly this run once: whoever asked for it runs it.

    Example: bascule approvals grant 0198c0de-0000-7000-8000-000000000001 --as ann
    """
    _answer("grant", approval, name, key, reason, yes=yes, where=Where(config, url, token))


@app.command()
def deny(
    approval: Id,
    *,
    name: As = "",
    key: approver.Key = None,
    reason: Reason = "",
    yes: Yes = False,
    url: Url = None,
    token: options.Token = None,
    config: options.Config = None,
) -> None:
    """Say no to it, for all who were asked.

    Example: bascule approvals deny 0198c0de-0000-7000-8000-000000000001 --as ann --reason "wrong account"
    """
    _answer("deny", approval, name, key, reason, yes=yes, where=Where(config, url, token))


def _answer(verdict: str, approval: str, name: str, key: Path | None, reason: str, *, yes: bool, where: Where) -> None:
    if key is not None and not name:
        raise ConfigError("--key needs --as NAME: the gateway looks for the name's public key")
    if len(reason) > LONGEST_REASON:
        raise ConfigError(f"a reason is at most {LONGEST_REASON} characters")
    if where.url is not None and not name:
        raise ConfigError("--url needs --as NAME: from elsewhere only a signed answer counts")
    path = approver.place(name, key) if name else None
    found = _asked("approvals_show", where, approval=approval)
    digest = _digest(approval, found)
    for line in shown(found):
        say(line)
    if found["state"] != "waiting":
        raise ConfigError(f"it is {plain(str(found['state']))}: it cannot be answered any more")
    if not yes and not approver.agreed(_question(verdict, found)):
        say("nothing was answered")
        raise typer.Exit(Status.FAILED)
    signature = "" if path is None else _signed(path, name, verdict, reason, digest, approval, found)
    answer = _asked(
        "approvals_answer",
        where,
        approval=approval,
        verdict=verdict,
        reason=reason,
        approver=name,
        signature=signature,
    )
    say(_outcome(answer))


def _asked(action: str, where: Where, **given: Any) -> JsonObject:
    if where.url is None:
        return run_admin(action, where.config, **given)
    return remote.at(where.url, where.token, action, **given)


def _digest(approval: str, found: JsonObject) -> str:
    """The digest of what the screen is going to show.

    Raises:
        Refused: it is another than the gateway says, or another request than was asked for.
    """
    from gateway.approvals.signing import digest_of_shown

    try:
        digest = digest_of_shown(found["asked"])
    except ValueError as problem:
        raise Refused(Code.FORBIDDEN, f"the gateway shows what nobody can sign: {problem}") from None
    if digest != found["digest"] or approval != found["approval"]:
        raise Refused(
            Code.FORBIDDEN,
            "the gateway shows something else than what it wants answered: nothing was signed",
            detail=f"shown would be {digest}; `bascule approvals show --json` prints all of it",
        )
    return digest


def _signed(path: Path, name: str, verdict: str, reason: str, digest: str, approval: str, found: JsonObject) -> str:
    from gateway.approvals.signing import statement

    try:
        stated = statement(
            origin=found["origin"],
            approval=approval,
            digest=digest,
            verdict=verdict,
            expires=found["expires"],
            reason=reason,
        )
    except ValueError:
        raise ConfigError("--reason is not text") from None
    return approver.signature(path, name, stated)


def _question(verdict: str, found: JsonObject) -> str:
    asked = found["asked"]["proposal"]
    what = plain(f"{asked['name']} on {asked['upstream']} for {asked['principal']}")
    return f"{'Grant' if verdict == 'grant' else 'Deny'} {what}?"


def _outcome(answer: JsonObject) -> str:
    state = plain(str(answer.get("state")))
    if state == "granted":
        return "granted: the client that waits runs it, or the same call made again; once, until it expires"
    if state == "waiting":
        return "counted; it waits for more people"
    return state


def _row(one: JsonObject) -> JsonObject:
    cells: dict[str, Any] = {column: plain(str(one.get(column, ""))) for column in COLUMNS}
    cells["answers"] = f"{one['answers']}/{one['needed']}"
    cells["opened"] = day(one["opened"] / 1e6)
    cells["expires"] = day(one["expires"])
    return cells


def _tell(answer: JsonObject) -> None:
    """JSON in ASCII alone: a program reads the same, and a terminal obeys nothing."""
    print(text_of_json.dumps(answer, indent=2).replace("\x7f", "\\u007f"))
