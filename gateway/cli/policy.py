"""`policy …`: try policies before they decide, and decide again."""
# ruff: noqa: PLC0415 - a command pays only for what it imports

import base64
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import options, replay
from gateway.cli.asking import run_admin, without_state
from gateway.cli.terminal import Status, printable, say, tell
from gateway.errors import ConfigError
from gateway.model import JsonObject

app = typer.Typer(help="Try policies before they decide; decide again.", no_args_is_help=True)

Directory = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="Folder of policies. Default: `policy.bundle`.", show_default=False),
]


@app.command("test")
def run_tests(
    directory: Directory = None,
    *,
    coverage: Annotated[bool, typer.Option("--coverage", help="Say which lines no test reached.")] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Run the `test_*` rules of a folder of policies; fails when one does.

    Example: bascule policy test policies
    """
    found = without_state("policy_test", directory=_folder(directory, config), coverage=coverage)
    if json:
        tell(found)
    else:
        _show_tests(found)
    if found["failed"] or not found["passed"]:
        raise typer.Exit(Status.FAILED)


@app.command()
def check(directory: Directory = None, *, config: options.Config = None, json: options.Json = False) -> None:
    """Find what is wrong with a folder of policies: unsafe rules, unknown input, rules nothing reaches.

    Example: bascule policy check policies
    """
    found = without_state("policy_check", directory=_folder(directory, config))
    if json:
        tell(found)
    else:
        for finding in found["findings"]:
            say(printable(_finding(finding)))
        count = sum(finding["severity"] != "info" for finding in found["findings"])
        say(f"{count} finding(s)" if count else "nothing found")
    if any(finding["severity"] == "error" for finding in found["findings"]):
        raise typer.Exit(Status.FAILED)


@app.command()
def build(
    directory: Directory = None,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the tarball goes.", show_default=False)],
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Write the tarball that an OPA server loads for `policy.engine: opa`; `policy.data` is in it unless DIR is given.

    Example: bascule policy build --out bundle.tar.gz
    """
    data = {} if directory else _data(config)
    built = without_state("policy_build", directory=_folder(directory, config), data=data)
    content = base64.b64decode(built["tarball"])
    _write(out, content)
    if json:
        tell({"revision": built["revision"], "file": str(out), "bytes": len(content)})
    else:
        say(f"{out}: {len(content)} bytes\nrevision: {built['revision']}")


@app.command("eval")
def evaluate(
    *,
    record: Annotated[str | None, typer.Option(metavar="ID", help="A recorded decision: index or id.")] = None,
    file: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="An input document (policies/schemas/input.json).")
    ] = None,
    config: options.Config = None,
) -> None:
    """Decide again: a recorded decision from its record alone, or an input with the policy of now.

    Example: bascule policy eval --record 17
    """
    if (record is None) == (file is None):
        raise ConfigError("give either --record ID or --input FILE")
    answer = run_admin("policy_eval", config, record=record, input=_document(file) if file else None)
    tell(answer)
    if answer.get("same") is False:
        raise typer.Exit(Status.FAILED)


@app.command("replay")
def replay_(
    *,
    against: Annotated[
        Path, typer.Option("--against", metavar="DIR", help="A folder or tarball of policies.", show_default=False)
    ],
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="24h, 7d, or a date. Default: all there is.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=50_000, help="The newest so many decisions.")
    ] = 10_000,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Decide past decisions again under other policies, and show what would change; runs nothing.

    Example: bascule policy replay --against policies --since 7d
    """
    found = run_admin("policy_replay", config, against=replay.place(against), since=since, limit=limit)
    replay.show(found, json=json)


@app.command()
def suggest(  # noqa: PLR0913 - one for each option
    *,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="24h, 7d, or a date. Default: all there is.")
    ] = None,
    upstream: Annotated[str, typer.Option("--upstream", metavar="NAME", help="Only this upstream.")] = "",
    principal: Annotated[str, typer.Option(metavar="ID", help="Only this principal.")] = "",
    refused: Annotated[bool, typer.Option("--refused", help="Also what was refused for want of a rule.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Also what the policy allowed already.")] = False,
    by: Annotated[
        str, typer.Option(metavar="WHO", help="Grants for each `principal`, or for its `role`.")
    ] = "principal",
    write: Annotated[
        Path | None, typer.Option("--write", metavar="DIR", help="Write the rules and their tests into this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an earlier suggestion.")] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Draft the least grants that would have allowed what was recorded, as Rego with its tests.

    Example: bascule policy suggest --since 24h --write policies
    """
    which = {"since": since, "upstream": upstream, "principal": principal}
    found = run_admin("policy_suggest", config, refused=refused, everything=everything, by=by, **which)
    if write is not None and found["files"]:
        _keep(write, found["files"], force=force)
    if json:
        tell(found)
    else:
        _show_suggestion(found, write)
    if found["not_kept"] and not found["calls"]:
        raise typer.Exit(Status.FAILED)


@app.command()
def reload(*, config: options.Config = None, json: options.Json = False) -> None:
    """Load the policies again into the running gateway; on any error the old ones stay in force.

    Example: bascule policy reload
    """
    found = run_admin("policy_reload", config)
    if json:
        tell(found)
    else:
        say(f"in force: {found['bundle']}\nbefore:   {found['was']}")


def _folder(directory: Path | None, file: Path | None) -> str:
    from gateway import config

    if directory is None:
        directory = config.outline(config.find(file)).policy.bundle
    if not directory.exists():
        raise ConfigError(f"no policies at {directory}")
    return str(directory.absolute())


def _data(file: Path | None) -> dict[str, str]:
    from gateway import config

    policy = config.outline(config.find(file)).policy
    return {one.name: str(one.file.absolute()) for one in policy.data}


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all: a server may be watching the file."""
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(file)) from None


def _keep(folder: Path, files: dict[str, str], *, force: bool) -> None:
    """The files of a suggestion, all or none, and over nothing that is there unless that is asked for."""
    if there := [str(folder / name) for name in files if (folder / name).exists() and not force]:
        raise ConfigError(
            f"{' and '.join(there)} already there: move what you keep into a file of your own, or --force"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot be made: {error.strerror}", file=str(folder)) from None
    for name, text in files.items():
        _write(folder / name, text.encode())


def _show_suggestion(found: JsonObject, folder: Path | None) -> None:
    """The rules, or what was written; then, apart from them, what they leave out."""
    if found["files"] and folder is None:
        say(printable(found["files"]["suggested.rego"]))
    elif folder is not None:
        for name in found["files"]:
            say(f"{folder / name}: written; read it, then `bascule policy check`, `test` and `reload`")
    for one in found["left"]:
        who = f"{one['principal']}, {one['upstream']}/{one['tool']}"
        _warn(f"left to you: {who}, {one['calls']} calls: {one['why']}")
    for one in found["still"] or ():
        _warn(f"still not allowed: {one['principal']}, {one['upstream']}/{one['tool']}, {one['calls']} calls")
    if found["still"] is None:
        _warn("not tried, since the policy that is configured does not load here: `bascule policy check`")
    if found["not_kept"]:
        _warn(f"payload not kept: {found['not_kept']} calls, so nothing is suggested for them")
    if not found["grants"]:
        _warn(f"nothing to suggest: {found['calls']} calls with a decision among {found['looked']} that were recorded")


def _document(file: Path) -> JsonObject:
    import json

    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ConfigError(f"cannot be read as JSON: {problem}", file=str(file)) from None
    if not isinstance(document, dict):
        raise ConfigError("should be a JSON object", file=str(file))
    return document


def _show_tests(found: JsonObject) -> None:
    """As `opa test` does: what did not pass with its cause, then the counts."""
    for one in found["tests"]:
        if one["status"] != "pass":
            place = f" ({one['file']}:{one['line']})" if one.get("file") else ""
            say(printable(f"{one['status'].upper()}: {one['package']}.{one['name']}{place}"))
            if one.get("detail"):
                say(printable(f"  {one['detail']}"))
    for file, lines in (found.get("coverage") or {}).items():
        say(printable(f"not reached: {file}: {', '.join(map(str, lines)) or 'nothing'}"))
    total = found["passed"] + found["failed"]
    say(f"PASS: {found['passed']}/{total}" if total else "no test was found: rules named test_* are tests")
    if found["failed"]:
        say(f"FAIL: {found['failed']}/{total}")


def _finding(finding: JsonObject) -> str:
    place = ":".join(str(finding[part]) for part in ("file", "line", "column") if finding.get(part))
    fix = f"; {finding['fix']}" if finding.get("fix") else ""
    return f"{place}: {finding['severity']}: {finding['problem']}{fix}"


def _warn(text: str) -> None:
    """For the person, apart from what a pipe carries on."""
    typer.echo(printable(text), err=True)
