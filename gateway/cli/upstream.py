"""`upstream …`: pins, drift, what is accepted, what it is given."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

from typing import Annotated

import typer

from gateway.cli import options
from gateway.cli.asking import renewed, run_admin
from gateway.cli.learning import learn
from gateway.cli.login import login
from gateway.cli.setup import AddMode, AddTrust, Allow, Folders, Until, granted
from gateway.cli.terminal import printable, say, table, tell

app = typer.Typer(help="The servers behind the gateway and what was accepted of them.", no_args_is_help=True)

app.command()(login)
app.command()(learn)

Name = Annotated[str, typer.Argument(metavar="NAME")]
Tool = Annotated[str | None, typer.Argument(metavar="TOOL", help="Only this tool.", show_default=False)]


@app.command("list")
def list_(*, config: options.Config = None, json: options.Json = False) -> None:
    """List the upstreams and the states of their tools.

    Example: bascule upstream list
    """
    found = run_admin("upstream_list", config)
    if json:
        tell(found)
    else:
        table(
            found["upstreams"],
            ("name", "reached", "sandbox", "mode", "until", "trust", "tools"),
            none="no upstreams: bascule add",
        )


@app.command()
def show(
    name: Name,
    *,
    log: Annotated[bool, typer.Option("--log", help="Instead: what its processes last wrote on stderr.")] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Show one upstream's tools: accepted, waiting, drifted and how, quarantined.

    Example: bascule upstream show crm
    """
    if log:
        said = run_admin("upstream_log", config, name=name)
        tell(said) if json else say("\n".join(map(printable, said["log"].splitlines())) or "it wrote nothing")
        return
    found = run_admin("upstream_show", config, name=name)
    if json:
        tell(found)
        return
    if package := found.get("package"):
        say(f"package: {printable(str(package.get('problem') or package['version']))} {package.get('digest', '')}")
    if found.get("unreachable"):
        say(f"not reached: {printable(str(found['unreachable']))}")
    table(found["tools"], ("name", "state", "listed", "mode", "pin", "difference"), none="no tools")
    for problem in found.get("problems", []):
        say(f"not shown: {printable(str(problem['tool']))}: {printable(str(problem['problem']))}")


@app.command()
def newest(name: Name, *, config: options.Config = None, json: options.Json = False) -> None:
    """Ask the registry for the newest version of an upstream's package; nothing is installed.

    Example: bascule upstream newest files
    """
    found = run_admin("upstream_newest", config, name=name)
    if json:
        tell(found)
    elif found["same"]:
        say(f"{name}: {found['pinned']} is the newest")
    else:
        say(f"{name}: pinned {found['pinned'] or 'nothing'}, newest {found['newest']}\n  {found['digest']}")
        say(f"Next: bascule upstream accept {name} --newest --digest {found['digest']}")


@app.command()
def accept(
    name: Name,
    tool: Tool = None,
    *,
    digest: Annotated[
        str | None, typer.Option(metavar="sha256:…", help="Only if this is what it offers (as `show` says).")
    ] = None,
    newest: Annotated[
        bool, typer.Option("--newest", help="Instead: the newest version of its package (--digest is that's).")
    ] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Accept what an upstream offers now: one tool, or all that wait or drifted.

    Example: bascule upstream accept crm find_customer
    """
    found = run_admin("upstream_accept", config, name=name, tool=tool, digest=digest, newest=newest)
    if json:
        tell(found)
    elif newest:
        say(f"{name}: {printable(found['package'])} runs from its next call on")
        if found["unreachable"]:
            say(f"not reached: {printable(found['unreachable'])}")
        for one in found["changed"]:
            say(f"changed with it, and waits to be looked at: {printable(one)} (bascule upstream show {name})")
    else:
        table(found["accepted"], ("tool", "pin"), none="nothing was waiting")


@app.command("set")
def set_(
    name: Name,
    *,
    mode: Annotated[AddMode | None, typer.Option(help="Act on refusals, or only record them until a day.")] = None,
    until: Until = None,
    trust: Annotated[AddTrust | None, typer.Option(help="Accept what is new, or wait for `accept`.")] = None,
    folder: Folders = None,
    allow: Allow = None,
    config: options.Config = None,
) -> None:
    """Change how an upstream is governed, and give it more; a gateway that runs takes it over at once.

    Example: bascule upstream set files --mode enforce
    """
    from gateway import amending, furnishing
    from gateway import config as configuration

    file = configuration.find(config)
    before = configuration.outline(file).upstreams.get(name)
    changes = amending.judged(mode and mode.value, until.date() if until else None, trust and trust.value)
    if before is not None:
        changes |= amending.grants(before, tuple(allow or ()), dict(map(granted, folder or ())))
    amending.amend(file, name, changes)
    say(f"{file}: upstream '{name}': {', '.join(changes) or 'nothing'} changed")
    for written in furnishing.furnish(file, name, before) if changes.keys() & {"folders", "network"} else ():
        say(f"{written}: written anew for what it is given now")
    say("the gateway that runs has taken it over" if renewed(file) else "Next: bascule serve")


@app.command()
def quarantine(name: Name, tool: Tool = None, *, config: options.Config = None, json: options.Json = False) -> None:
    """Take a tool, or all of an upstream's, out of use until it is accepted again.

    Example: bascule upstream quarantine crm delete_customer
    """
    found = run_admin("upstream_quarantine", config, name=name, tool=tool)
    if json:
        tell(found)
    else:
        say(f"quarantined: {', '.join(map(printable, found['quarantined'])) or 'nothing'}")
