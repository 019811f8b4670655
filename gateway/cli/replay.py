"""What a replay shows of decisions made again: the differences first, then the rules that spoke more or less often."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.plain import literal, plain
from gateway.cli.terminal import Status, say, table, tell
from gateway.errors import ConfigError
from gateway.model import JsonObject

Against = Annotated[
    Path | None,
    typer.Option(
        "--against",
        metavar="DIR",
        help="A folder or tarball of policies to decide by. Default: the ones that decided.",
        show_default=False,
    ),
]
COLUMNS: Final = ("step", "record", "point", "principal", "upstream", "tool", "recorded", "now", "verdict")
RULES: Final = ("point", "rule", "recorded", "now")
PARTS: Final = ("reasons", "obligations", "demands")


def place(against: Path | None) -> str | None:
    """The folder as the gateway can read it too.

    Raises:
        ConfigError: there is none.
    """
    if against is not None and not against.exists():
        raise ConfigError(f"no policies at {against}")
    return None if against is None else str(against.absolute())


def show(found: JsonObject, *, json: bool) -> None:
    """All of it; ends with 1 where anything differs or could not be decided."""
    if json:
        tell(found)
    else:
        _show(found)
    if found["changed"] or found["undecided"]:
        raise typer.Exit(Status.FAILED)


def _show(found: JsonObject) -> None:
    table([_row(step) for step in found["steps"]], COLUMNS, none="nothing to show")
    for step in found["steps"]:
        for line in _details(step):
            say(line)
    undecided = Counter(step["why"] for step in found["steps"] if step["verdict"] == "undecided")
    for why, count in undecided.items():
        say(f"{plain(why)}: {count} decision(s) could not be made again")
    if rules := [rule for rule in found["rules"] if rule["recorded"] != rule["now"]]:
        say("")
        table([{**rule, "rule": plain(rule["rule"])} for rule in rules], RULES, none="")
    if found.get("more"):
        say(f"only the first {len(found['steps'])} are shown")
    counts = ", ".join(f"{found[verdict]} {verdict}" for verdict in ("changed", "undecided", "equal"))
    say(f"{found['decisions']} decision(s) made again: {counts}")
    if found["without"]:
        say(f"{found['without']} record(s) hold no decision")
    say(f"decided by: {found['against'] or 'the policies that decided then'}")


def _row(step: JsonObject) -> JsonObject:
    named = {name: plain(str(step[name] or "")) for name in ("principal", "upstream", "tool")}
    shown = {"record": step["index"], "recorded": _effect(step["recorded"]), "now": _effect(step["now"])}
    return {**step, **named, **shown}


def _effect(said: JsonObject | None) -> str:
    if said is None:
        return ""
    return f"{said['effect']} {said['code']}" if said["code"] else str(said["effect"])


def _details(step: JsonObject) -> list[str]:
    """What differs beside effect and code, which the table has."""
    if step["verdict"] != "changed":
        return []
    head, lines = f"step {step['step']} (record {step['index']})", []
    for part in PARTS:
        then, now = step["recorded"][part], step["now"][part]
        if part in step["changed"] or (then is None and now):
            lines.append(f"{head}, {part}: {'not kept' if then is None else literal(then)} -> {literal(now)}")
    return lines
