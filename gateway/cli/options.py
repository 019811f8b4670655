"""Options that several commands share, with one wording."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration. Default: $BASCULE_CONFIG, else ./bascule.yaml, else the user's.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Address of the gateway. Default: `listen` of the config.")
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token", metavar="TOKEN", envvar="BASCULE_TOKEN", help="Bearer token; the variable keeps it out of `ps`."
    ),
]
Upstream = Annotated[
    str | None, typer.Option("--upstream", metavar="NAME", help="Only this upstream, its own tool names.")
]
View = Annotated[str | None, typer.Option("--view", metavar="NAME", help="A view; tools are `upstream__tool`.")]
