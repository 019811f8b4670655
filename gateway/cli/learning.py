"""`upstream learn`: a server runs with everything refused, and a person says what it may have."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import options
from gateway.cli.terminal import printable, say, tell
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.executors.egress.learning import Consent, Learned, Question

_ANSWERS = {"n": "no", "y": "yes", "a": "always"}


def learn(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    call: Annotated[
        list[str] | None,
        typer.Option("--call", metavar="TOOL[=JSON]", help="Call this too: a server shows what it needs when used."),
    ] = None,
    always: Annotated[bool, typer.Option("--always", help="Agree to everything it asks for, and write it.")] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Run a stdio server with everything refused, ask about each host and folder it wanted, write what was agreed to.

    Example: bascule upstream learn fetch --call 'fetch={"url": "https://example.org/"}'
    """
    from gateway import amending, furnishing
    from gateway import config as configuration
    from gateway.cli.asking import renewed, run_admin

    file = configuration.find(config)
    # Whoever owns the state folder installs the package, where it is one: two must not do that at once.
    run_admin("upstream_show", file, name=name)
    found = asyncio.run(_learned(configuration.load(file), name, [_wanted(text) for text in call or []], always=always))
    told = _told(found)
    before = configuration.outline(file).upstreams[name]
    if changes := amending.grants(before, found.allow, found.folders):
        amending.amend(file, name, changes)
        furnishing.furnish(file, name, before)
        told["reloaded"] = renewed(file)
    if json:
        tell(told)
    else:
        _say(found, f"{file}: {name}", written=bool(changes))


def _say(found: "Learned", where: str, *, written: bool) -> None:
    for kind, what in (("host", found.allow), ("folder", [f"{path} ({how})" for path, how in found.folders.items()])):
        for one in what:
            say(f"{where} may reach the {kind} {printable(one)}")
    for question in found.refused:
        say(f"still refused: {question.kind} {printable(question.what)}")
    if not written:
        say("nothing was written")
    if not found.complete:
        say("it still asked for something new when this ended: run it again")


async def _learned(settings: Any, name: str, calls: list[Any], *, always: bool) -> "Learned":
    from gateway import making
    from gateway.admin.learning import learned
    from gateway.executors.egress.learning import Consent

    async def consent(question: "Question") -> "Consent":
        if always:
            return Consent.ALWAYS
        return Consent(await asyncio.to_thread(_asked, question)) if sys.stdin.isatty() else Consent.NO

    return await learned(settings, making.grounds(settings), name, calls, consent)


def _asked(question: "Question") -> str:
    what = f"{question.kind} {printable(question.what)}" + (
        f" ({question.access})" if question.kind == "folder" else ""
    )
    while True:
        answer = input(f"It wants the {what}: {printable(question.why)}. [n]o, [y]es for now, [a]lways? ")
        if (word := answer.strip().lower()[:1] or "n") in _ANSWERS:
            return _ANSWERS[word]


def _wanted(text: str) -> tuple[str, dict[str, Any]]:
    import json

    tool, equals, arguments = text.partition("=")
    try:
        value = json.loads(arguments) if equals else {}
    except json.JSONDecodeError:
        value = None
    if not tool or not isinstance(value, dict):
        raise ConfigError("--call should be TOOL or TOOL={…}, with the arguments as a JSON object")
    return tool, value


def _told(found: "Learned") -> dict[str, Any]:
    return {
        "allow": found.allow,
        "folders": dict(found.folders),
        "refused": [{"kind": one.kind, "what": one.what, "why": one.why} for one in found.refused],
        "complete": found.complete,
        "reloaded": False,
    }
