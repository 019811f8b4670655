"""`init`, `add`, `remove`: the operator's files."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import options
from gateway.cli.terminal import say, tell, working
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.setup import Program


class AddMode(StrEnum):
    """As in bascule.yaml."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class AddTrust(StrEnum):
    """As in bascule.yaml."""

    FIRST_USE = "first_use"
    REVIEW = "review"


class Transport(StrEnum):
    """How a server is reached."""

    HTTP = "http"
    STDIO = "stdio"


class Share(StrEnum):
    """As in bascule.yaml."""

    PRINCIPAL = "principal"
    ALL = "all"


From = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="CLIENT or FILE",
        help="Put Bascule in front of the servers of claude-code, claude-desktop, cursor, vscode, all, or a file.",
    ),
]
Write = Annotated[bool, typer.Option("--write", help="With --from: change the files, not only show how.")]
Wrap = Annotated[bool, typer.Option("--wrap", help="With --from: write commands, no addresses and tokens.")]
Undo = Annotated[bool, typer.Option("--undo", help="Put back what the last --from … --write changed.")]
Force = Annotated[
    bool, typer.Option("--force", help="Write over bascule.yaml and the starter policy; --undo despite edits.")
]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", metavar="'K: V'", help="Sent with each request; ${VAR} for secrets."),
]
Variables = Annotated[
    list[str] | None, typer.Option("--env", "-e", metavar="K=V", help="Its environment; K alone is ${K}.")
]
Folders = Annotated[
    list[str] | None,
    typer.Option("--folder", metavar="P[:rw]", help="A folder it sees, to read, or with :rw to write."),
]
Allow = Annotated[list[str] | None, typer.Option("--allow", metavar="HOST:PORT", help="A host it may reach.")]
Until = Annotated[
    datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Last day of --mode shadow.")
]


def init(  # noqa: PLR0913 - one argument per option of the command
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to.", show_default=False)] = Path(),
    *,
    from_: From = None,
    write: Write = False,
    wrap: Wrap = False,
    undo: Undo = False,
    principal: Annotated[str, typer.Option(metavar="NAME", help="Name of the first who may ask.")] = "agent",
    origin: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the log. Default: HOST/bascule.")] = None,
    force: Force = False,
    json: options.Json = False,
) -> None:
    """Make bascule.yaml, a starter policy, keys and one principal with its token; or adopt what clients have.

    Example: bascule init --from claude-code --write
    """
    if undo and (from_ or write or wrap):
        raise ConfigError("--undo stands alone, or with --force")
    if (write or wrap) and not from_:
        raise ConfigError("--write and --wrap belong to --from CLIENT or FILE")
    if undo:
        from gateway.cli.adopting import take_back

        take_back(folder, force=force, json=json)
    elif from_:
        _adopt(folder, from_, wrap=wrap, write=write, json=json)
    else:
        _make(folder, principal, origin, force=force, json=json)


def _adopt(folder: Path, clients: list[str], *, wrap: bool, write: bool, json: bool) -> None:
    from datetime import date

    from gateway.cli.adopting import adopt, surroundings
    from gateway.clients import adoption

    today = date.today()  # noqa: DTZ011 - `until` is a day of this machine
    wish = adoption.Wish(surroundings(), today, wrap, adoption.executable())
    adopt(folder, clients, wish, write=write, json=json)


def _make(folder: Path, principal: str, origin: str | None, *, force: bool, json: bool) -> None:
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
    say(f"Next: bascule init --from CLIENT, or bascule add --transport http NAME URL, then {following}")


def add(  # noqa: PLR0913 - one argument per option of the command
    name: Annotated[str, typer.Argument(metavar="NAME")],
    words: Annotated[list[str], typer.Argument(metavar="URL or -- CMD …", help="Its address, or what starts it.")],
    *,
    transport: Annotated[Transport | None, typer.Option(help="Default: as the words are.", show_default=False)] = None,
    header: Headers = None,
    env: Variables = None,
    folder: Folders = None,
    allow: Allow = None,
    sandbox: Annotated[str, typer.Option(metavar="PROFILE", help="What confines a command.")] = "default",
    share: Annotated[Share, typer.Option(help="A process for each who asks, or one for all.")] = Share.PRINCIPAL,
    mode: Annotated[AddMode, typer.Option(help="Act on refusals, or only record them until a day.")] = AddMode.ENFORCE,
    until: Until = None,
    trust: Annotated[AddTrust, typer.Option(help="Accept the first list, or wait.")] = AddTrust.FIRST_USE,
    config: options.Config = None,
) -> None:
    """Register an upstream in bascule.yaml; comments and order stay.

    Example: bascule add files --folder /srv/docs:rw -- npx -y @modelcontextprotocol/server-filesystem /srv/docs
    """
    from gateway import furnishing, setup
    from gateway.config import find

    file = find(config)
    headers, variables = dict(map(_header, header or [])), dict(map(_variable, env or []))
    folders = dict(map(granted, folder or []))
    program = setup.Program(words[0], words[1:], variables, folders, allow or (), sandbox, share.value)
    last_day = until.date() if until else None
    if _is_address(words, transport):
        _alone(words, program)
        setup.add(file, name, words[0], headers=headers, mode=mode.value, until=last_day, trust=trust.value)
    elif headers:
        raise ConfigError("--header is for a URL; a command takes --env")
    else:
        setup.add_command(file, name, program, mode=mode.value, until=last_day, trust=trust.value)
        for written in furnishing.furnish(file, name):
            say(f"{written}: what comes ready for this server; it is yours to change")
    _say_added(file, name, {**headers, **variables})


def _is_address(words: list[str], transport: Transport | None) -> bool:
    return transport is Transport.HTTP or (transport is None and len(words) == 1 and "://" in words[0])


def _alone(words: list[str], program: "Program") -> None:
    if len(words) > 1 or program.upstream().keys() - {"command"}:
        raise ConfigError("a URL stands alone: --env, --folder, --allow, --sandbox and --share are for commands")


def _say_added(file: Path, name: str, values: Mapping[str, str]) -> None:
    say(f"{file}: upstream '{name}' added; clients reach it at /mcp/{name}")
    for key in (key for key, value in values.items() if "${" not in value):
        say(f"note: the value of {key} stands in the file as it is; ${{VAR}} would keep it out")
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


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    return name, value if equals else f"${{{name}}}"


def granted(text: str) -> tuple[str, str]:
    """A folder with its right; only `:ro` and `:rw` at the end are one."""
    path, _, right = text.rpartition(":")
    path, right = (path, right) if path and right in {"ro", "rw"} else (text, "ro")
    return str(Path(path).expanduser().absolute()), right
