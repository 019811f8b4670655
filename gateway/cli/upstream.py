"""`upstream …`: pins, drift, what is accepted."""

from typing import Annotated

import typer

from gateway.cli import options
from gateway.cli.asking import run_admin
from gateway.cli.terminal import printable, say, table, tell

app = typer.Typer(help="The servers behind the gateway and what was accepted of them.", no_args_is_help=True)

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
        table(found["upstreams"], ("name", "url", "mode", "until", "trust", "tools"), none="no upstreams: bascule add")


@app.command()
def show(name: Name, *, config: options.Config = None, json: options.Json = False) -> None:
    """Show one upstream's tools: accepted, waiting, drifted and how, quarantined.

    Example: bascule upstream show crm
    """
    found = run_admin("upstream_show", config, name=name)
    if json:
        tell(found)
        return
    if found.get("unreachable"):
        say(f"not reached: {printable(str(found['unreachable']))}")
    table(found["tools"], ("name", "state", "listed", "mode", "pin", "difference"), none="no tools")
    for problem in found.get("problems", []):
        say(f"not shown: {printable(str(problem['tool']))}: {printable(str(problem['problem']))}")


@app.command()
def accept(
    name: Name,
    tool: Tool = None,
    *,
    digest: Annotated[
        str | None, typer.Option(metavar="sha256:…", help="Only if this is what it offers (as `show` says).")
    ] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Accept what an upstream offers now: one tool, or all that wait or drifted.

    Example: bascule upstream accept crm find_customer
    """
    found = run_admin("upstream_accept", config, name=name, tool=tool, digest=digest)
    if json:
        tell(found)
    else:
        table(found["accepted"], ("tool", "pin"), none="nothing was waiting")


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
