"""What `init --from` and `init --undo` find, write and show: the clients' files with Bascule put in front."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway import config, furnishing
from gateway.cli.terminal import printable, say, tell
from gateway.clients import adoption, places, showing, undoing
from gateway.clients.adoption import Adopted, Plan, Wish
from gateway.clients.backups import Change
from gateway.clients.places import CLIENTS, Place, Surroundings
from gateway.errors import ConfigError
from gateway.yamltext import flow


def surroundings() -> Surroundings:
    """Whose clients these are, and the folder they work in."""
    return Surroundings(Path.home(), Path.cwd(), os.environ)


def adopt(folder: Path, clients: Sequence[str], wish: Wish, *, write: bool, json: bool) -> None:
    """Show what adopting the servers of these clients changes, and with `write` change it."""
    file = gateway_file(folder)
    made = adoption.plan(chosen(clients, wish.around), adoption.find_gateway(file), wish)
    written = adoption.adopt(made) if write else []
    furnished = dict.fromkeys(_furnished(made)) if write else {}
    if json:
        tell(_answer(made, written, write=write))
        return
    for change in _clients(made):
        say(_difference(change))
    _say_gateway(made)
    for adopted in made.adopted:
        _say_adopted(adopted)
    for left in made.left:
        say(
            f"left as it is: {_named(left.server.name)} in {left.server.place.path} needs a hand: {printable(left.why)}"
        )
    for path in furnished:
        say(f"ready: {path} is for a server that is known; it is yours to change")
    for note in _notes(made, wish):
        say(f"note: {note}")
    for backup in written:
        say(f"backup: {backup}")
    say(_next(made, write=write))


def take_back(folder: Path, *, force: bool, json: bool) -> None:
    """Put back what the last run wrote."""
    file = gateway_file(folder)
    state = config.outline(file).state if file.exists() else file.parent / ".bascule"
    undone = undoing.undo(state, force=force)
    if json:
        kept = [{"path": path, "why": why} for path, why in undone.kept]
        tell({"restored": undone.restored, "removed": undone.removed, "kept": kept, "earlier": undone.earlier})
        return
    for path in undone.restored:
        say(f"{path}: as it was, to the byte")
    for path in undone.removed:
        say(f"{path}: removed, it was made by that run; keys, records and policies beside it stay")
    for path, why in undone.kept:
        say(f"{path}: {why}")
    if undone.earlier:
        say(f"{undone.earlier} earlier run(s) can be taken back too: bascule init --undo")


def gateway_file(folder: Path) -> Path:
    """The configuration that adopts: that of the folder if one is named, else the one in force, else one here."""
    if folder != Path():
        return Path(os.path.abspath(folder / "bascule.yaml"))
    try:
        return Path(os.path.abspath(config.find()))
    except ConfigError:
        return Path.cwd() / "bascule.yaml"


def chosen(words: Sequence[str], around: Surroundings) -> list[Place]:
    """The files that are there of these clients, or that were named; each once, also where links lead to one."""
    found: dict[str, Place] = {}
    for word in words:
        for place in _chosen(word, around):
            found.setdefault(os.path.realpath(place.path), place)
    return list(found.values())


def _chosen(word: str, around: Surroundings) -> list[Place]:
    if word != "all" and word not in CLIENTS:
        if not places.exists(Path(word)) and "/" not in word and "." not in word:
            raise ConfigError(f"{word!r} is no client that is known (all, {', '.join(CLIENTS)}) and no file")
        return [places.named(Path(word), around)]
    looked = [place for place in (*around.user(), *around.project()) if word in {"all", place.client.name}]
    if found := [place for place in looked if places.exists(place.path)]:
        return found
    listed = "\n  ".join(str(place.path) for place in looked)
    raise ConfigError(f"no file of {'any client' if word == 'all' else word} is at\n  {listed}\n--from FILE names one")


def _furnished(made: Plan) -> Iterator[Path]:
    """What comes ready for the servers that are new, put beside the configuration."""
    for adopted in made.adopted:
        if adopted.new and "command" in adopted.said:
            yield from furnishing.furnish(made.gateway.file, adopted.upstream)


def _clients(made: Plan) -> list[Change]:
    return [change for change in made.changes if change.kind == "client"]


def _difference(change: Change) -> str:
    return printable(showing.difference(change.path, (change.before or b"").decode(), change.after.decode()))


def _say_gateway(made: Plan) -> None:
    lines = [f"+  {name}: {{tenant: default, …}}" for name in sorted(set(made.principals.values()))]
    lines += [f"+  {adopted.upstream}: {flow(adopted.said)}" for adopted in made.adopted if adopted.new]
    if lines:
        say("\n".join([f"+++ {made.gateway.file}", *map(printable, lines)]))


def _say_adopted(adopted: Adopted) -> None:
    given = ", ".join(f"{path} ({right})" for path, right in adopted.said.get("folders", {}).items())
    rights = f"; it is given {given}" if given else ""
    known = "" if adopted.new else ", which is there already"
    disabled = "; it stays disabled" if adopted.server.disabled else ""
    say(f"adopted: {_named(adopted.server.name)} as upstream {adopted.upstream}{known}{printable(rights)}{disabled}")
    for hint in adopted.hints:
        say(f"  {printable(hint)}")


def _named(name: str) -> str:
    return "'" + printable(name).replace("\n", " ").replace("\t", " ") + "'"


def _notes(made: Plan, wish: Wish) -> Iterator[str]:
    scopes = {place.path: place.scope for place in made.files}
    moved = [change.path.name for change in made.changes if change.kind == "secret"]
    if moved:
        yield f"{len(moved)} value(s) move to {made.gateway.state / 'secrets'}, for this user only"
    new = [adopted for adopted in made.adopted if adopted.new]
    if offline := [adopted.upstream for adopted in new if "command" in adopted.said]:
        yield f"no network for {', '.join(offline)}: `bascule upstream learn NAME` finds what one needs"
    if plain := [adopted.upstream for adopted in new if "url" in adopted.said and "headers" not in adopted.said]:
        yield f"no login for {', '.join(plain)}: where one is wanted, `auth: oauth` and `bascule upstream login NAME`"
    for change in _clients(made):
        addresses = b'"Bearer bascule_' in change.after
        if addresses and not wish.wrap and scopes.get(change.path) == "project":
            yield f"{change.path} holds a token now: keep it out of version control, or use --wrap"
        if addresses and change.path.stat().st_mode & 0o044:
            yield f"{change.path} can be read by other users of this machine: chmod 600"


def _next(made: Plan, *, write: bool) -> str:
    if not _clients(made):
        return f"nothing to adopt: {made.governed} server(s) reach Bascule already, {len(made.left)} need a hand"
    if not write:
        return "\nNothing is written yet. Close the clients, then the same again with --write"
    serve = "bascule serve" if Path.cwd() == made.gateway.folder else f"bascule serve -c {made.gateway.file}"
    back = "bascule init --undo" if Path.cwd() == made.gateway.folder else f"bascule init {made.gateway.folder} --undo"
    return f"\nNext: {serve} (SIGHUP where it runs), then start the clients; {back} takes it back"


def _answer(made: Plan, written: Sequence[Path], *, write: bool) -> dict[str, Any]:
    clients = {place.path: place.client.name for place in made.files}
    return {
        "config": made.gateway.file,
        "state": made.gateway.state,
        "written": write and bool(made.changes),
        "files": [
            {"path": change.path, "client": clients[change.path], "diff": _difference(change)}
            for change in _clients(made)
        ],
        "upstreams": [
            {
                "name": adopted.upstream,
                "server": adopted.server.name,
                "file": adopted.server.place.path,
                "new": adopted.new,
                "folders": adopted.said.get("folders", {}),
                "hints": adopted.hints,
            }
            for adopted in made.adopted
        ],
        "left": [{"server": left.server.name, "file": left.server.place.path, "why": left.why} for left in made.left],
        "governed": made.governed,
        "principals": made.principals,
        "secrets": [change.path for change in made.changes if change.kind == "secret"],
        "backups": written,
        "next": _next(made, write=write).strip(),
    }
