"""`init`, `add`, `remove`: the operator's files."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import options
from gateway.cli.terminal import say, tell, working
from gateway.errors import ConfigError


class AddMode(StrEnum):
    """As in bascule.yaml."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class AddTrust(StrEnum):
    """As in bascule.yaml."""

    FIRST_USE = "first_use"
    REVIEW = "review"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to.", show_default=False)] = Path(),
    *,
    principal: Annotated[str, typer.Option(metavar="NAME", help="Name of the first who may ask.")] = "agent",
    origin: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the log. Default: HOST/bascule.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over bascule.yaml and the starter policy.")] = False,
    json: options.Json = False,
) -> None:
    """Make bascule.yaml, a starter policy, keys and one principal with its token.

    Example: bascule init gateway
    """
    from gateway import setup

    with working("making keys"):
        made = setup.init(folder, principal=principal, origin=origin, force=force)
    following = "bascule serve" if folder == Path() else f"bascule serve -c {made.config}"
    if json:
        tell(
            {
                "config": made.config,
                "state": made.state,
                "policies": made.policies,
                "origin": made.origin,
                "principal": made.principal,
                "token": made.token,
                "next": following,
            }
        )
        return
    say(f"{made.config}: the configuration\n{made.policies}: the policies, a starter to change")
    say(f"{made.state}: database and keys of the log '{made.origin}', for this user only")
    say(f"\nToken of '{made.principal}', shown this once (the configuration holds only its SHA-256):\n")
    say(f"    {made.token}\n")
    say(f"Next: bascule add --transport http NAME URL, then {following}")


def add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    url: Annotated[str, typer.Argument(metavar="URL")],
    *,
    transport: Annotated[str, typer.Option(metavar="http", help="Only http is served by this version.")] = "http",
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'K: V'", help="Sent with each request; ${VAR} for secrets."),
    ] = None,
    mode: Annotated[AddMode, typer.Option(help="Act on refusals, or only record them until a day.")] = AddMode.ENFORCE,
    until: Annotated[
        datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Last day of --mode shadow.")
    ] = None,
    trust: Annotated[
        AddTrust, typer.Option(help="Accept the first list of tools, or wait for `upstream accept`.")
    ] = AddTrust.FIRST_USE,
    config: options.Config = None,
) -> None:
    """Register an upstream in bascule.yaml; comments and order stay.

    Example: bascule add --transport http crm https://crm.example/mcp --header 'Authorization: Bearer ${CRM_TOKEN}'
    """
    from gateway import setup
    from gateway.config import find

    if transport not in {"http", "streamable-http"}:
        raise ConfigError(f"--transport {transport} is not served by this version; give http and a URL")
    headers = dict(_header(text) for text in header or [])
    file = find(config)
    last_day = until.date() if until else None
    setup.add(file, name, url, headers=headers, mode=mode.value, until=last_day, trust=trust.value)
    say(f"{file}: upstream '{name}' added; clients reach it at /mcp/{name}")
    for header_name in (key for key, value in headers.items() if "${" not in value):
        say(f"note: the value of {header_name} stands in the file as it is; ${{VAR}} would keep it out")
    say("Next: bascule serve, or SIGHUP to a running gateway")


def remove(name: Annotated[str, typer.Argument(metavar="NAME")], *, config: options.Config = None) -> None:
    """Take an upstream out of bascule.yaml.

    Example: bascule remove crm
    """
    from gateway import setup
    from gateway.config import find

    file = find(config)
    setup.remove(file, name)
    say(f"{file}: upstream '{name}' removed; its pins stay in bascule.lock\nNext: SIGHUP to a running gateway")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ConfigError(f"--header should be 'Name: value', not '{name.strip()}'")
    return name.strip(), value.strip()
