"""The command line: one subcommand per operator action, and the few that make files or call tools.

Not the actions: those are admin.py, setup.py and app.py. A command only asks, shows, and ends with a status.
"""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import sys


def main() -> None:
    """Run the command line. Every error of ours is one line and a status, never a traceback."""
    if sys.argv[1:] == ["version"]:  # typer takes five times as long to import as this takes to answer
        from gateway import __version__

        print(f"bascule {__version__}")
        return
    if sys.argv[1:2] == ["wrap"]:  # a client waits for it each time it starts
        from gateway.cli import shim

        if (asked := shim.asked(sys.argv[2:])) is not None:
            sys.exit(shim.run(asked))
    from gateway.cli.commands import app
    from gateway.cli.terminal import printable, status_of
    from gateway.errors import BasculeError

    try:
        app(prog_name="bascule")
    except BasculeError as problem:
        print(f"bascule: {printable(str(problem))}", file=sys.stderr)
        if detail := getattr(problem, "detail", ""):
            print(f"  {printable(str(detail))}", file=sys.stderr)
        if would_pass := getattr(problem, "would_pass", ""):
            print(f"  would pass: {printable(str(would_pass))}", file=sys.stderr)
        sys.exit(status_of(problem))
