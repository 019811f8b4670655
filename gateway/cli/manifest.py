"""`manifest …`: what is stated about the tools of an upstream."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import options
from gateway.cli.asking import run_admin
from gateway.cli.terminal import say, tell
from gateway.errors import ConfigError

app = typer.Typer(help="What is stated about the tools of an upstream.", no_args_is_help=True)


@app.command()
def draft(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The upstream.")],
    *,
    write: Annotated[bool, typer.Option("--write", help="Write manifests/NAME.yaml, where there is none.")] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Draft a manifest from what a server says of its tools; every entry is marked `inferred`.

    Example: bascule manifest draft crm --write
    """
    found = run_admin("manifest_draft", config, name=name)
    if write:
        _create(Path(found["file"]), found["text"])
    if json:
        tell(found)
    elif write:
        say(f"{found['file']}: {len(found['tools'])} tools. Correct it, then `bascule policy reload`.")
    else:
        print(found["text"], end="")


def _create(file: Path, text: str) -> None:
    """Never over what is there."""
    if file.exists():
        raise ConfigError("is there already: a draft is never written over it", file=str(file))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(file)) from None
