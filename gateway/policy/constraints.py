"""What one argument may be, generalised from the values that were seen: no wider than they show, and it is said how.

    path      the folders they lie in          number    the few seen, else the range
    url       scheme, host and port            boolean   as seen
    e-mail    the addresses                    text      the values, while they are few

Text is left open only where it reads like text somebody wrote, and never under a name that says where something
goes or what is run. Where that leaves nothing honest, no grant is made and the reason is given.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

FEW_NUMBERS = 3
MOST_LISTED = 50
"""Different values that are still listed one by one."""
LONGEST_LISTED = 200
MOST_FOLDERS = 5

Kind = Literal["one_of", "range", "folders", "origins", "text_folders", "text_origins", "free", "left"]
Secret = Callable[[str, str], bool]
"""Whether a text under a name looks like a credential: what does is never written down."""
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ACTS = re.compile(
    "account|address|args?|arguments?|bash|bcc|branch|cc|channel|cmd|code|command|destination|dir|directory|domain|emails?|endpoint|eval|exec|expr"
    "|expression|files?|filename|folder|from|host|hostname|ids?|key|owner|paths?|program|query|recipients?|ref|repo|repository"
    "|script|secret|server|shell|sql|statement|table|target|to|token|uri|url|user"
)
"""A word in a name that says where something goes or what is run."""
_SAYS = re.compile(
    "abstract|answer|body|comments?|contents?|description|insight|message|notes?|observations?|prompt|reason|summary"
    "|text|thought|title|topic"
)
"""A word in a name of what somebody wrote."""
_PATHS = re.compile("dir|directory|files?|filename|folder|paths?")
_FOLDERS = re.compile("cwd|dir|directory|folder|repo|repository|root|workspace")


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the values at one place were, as a condition."""

    kind: Kind
    values: tuple[Any, ...] = ()
    why: str = ""
    """Of `free` and `left`: in words for whoever reads the policy."""


@dataclass(frozen=True, slots=True)
class Values:
    """All that was seen at one place; `calls` is in how many calls the place could have been."""

    name: str
    seen: Sequence[Any]
    calls: int
    secret: Secret


def of_typed(name: str, values: Sequence[Mapping[str, Any]], secret: Secret) -> Constraint:
    """Of values whose type the manifest states."""
    (kind, *others) = sorted({value["type"] for value in values})
    texts = sorted({value["value"] for value in values})
    if others:
        return Constraint("left", why="has values of several types")
    if kind != "url" and (problem := _unwritable(name, texts, secret)):
        return problem
    if kind == "path":
        return _listed("folders", folders(name, texts, {value.get("inside") for value in values}))
    if kind == "url":
        origins = sorted({(value["scheme"], value["host"], value["port"]) for value in values})
        return _listed("origins", origins)
    return _listed("one_of", texts)


def of_plain(values: Values) -> Constraint:
    """Of values nobody gave a meaning; not of objects and arrays with members, which have places of their own."""
    kinds = {type(value) for value in values.seen}
    if kinds == {str}:
        return _of_text(values, sorted(set(values.seen)))
    if kinds <= {int, float}:
        numbers = sorted(set(values.seen))
        few = len(numbers) <= FEW_NUMBERS
        return Constraint("one_of", tuple(numbers)) if few else Constraint("range", (numbers[0], numbers[-1]))
    if dict in kinds and all(map(_stands_for, (value for value in values.seen if isinstance(value, dict)))):
        return _of_text(values, ["x " * LONGEST_LISTED])
    distinct = _distinct(values.seen)
    if any(isinstance(value, dict | list) and value for value in distinct) or len(distinct) > MOST_LISTED:
        return Constraint("left", why="has values of several kinds")
    texts = [value for value in distinct if isinstance(value, str)]
    if texts and (found := _of_text(values, texts)).kind in {"left", "free"}:
        return found
    return Constraint("one_of", tuple(distinct))


def folders(name: str, paths: Iterable[str], roots: Iterable[str | None]) -> tuple[str, ...]:
    """The few folders that hold them all; never above the root that holds a path, and never the top of all.

    What has no ending, or stands under a name that means a folder, is taken for a folder itself.
    """
    tops = {root for root in roots if root is not None}
    itself = named(name, _FOLDERS)
    found = {path if itself or not _has_ending(path) else _above(path, tops) for path in paths}
    while True:
        found = {one for one in found if not any(one != other and _below(one, other) for other in found)}
        if len(found) <= MOST_FOLDERS:
            return tuple(sorted(found))
        deepest = max(found, key=lambda one: (one.count("/"), one))
        parents = {one: _above(one, tops) for one in found if one.count("/") == deepest.count("/")}
        if all(parent == one for one, parent in parents.items()):
            return tuple(sorted(found))
        found = {parents.get(one, one) for one in found}


def shown(text: str) -> bool:
    """Whether a reader of the policy sees all of it."""
    return all(char.isprintable() or char in "\n\t\r" for char in text)


def named(name: str, words: re.Pattern[str]) -> bool:
    """Whether one of the words in an argument's name is among these."""
    found = [word.lower() for word in _WORDS.findall(name)]
    return any(words.fullmatch(word) or words.fullmatch(word.removesuffix("s")) for word in found)


def _of_text(values: Values, texts: Sequence[str]) -> Constraint:
    acts = named(values.name, _ACTS)
    # Only a name that says so: long text under any other name may be what is run.
    if not acts and named(values.name, _SAYS):
        return Constraint("free", why="text that somebody wrote")
    if problem := _unwritable(values.name, texts, values.secret):
        return problem
    if origins := _origins(texts):
        return _listed("text_origins", origins)
    if all(map(_is_path, texts)) and (named(values.name, _PATHS) or all(text.startswith("/") for text in texts)):
        return _listed("text_folders", folders(values.name, texts, ()))
    if len(texts) <= MOST_LISTED and all(len(text) <= LONGEST_LISTED for text in texts):
        return Constraint("one_of", tuple(texts))
    return _many(len(texts))


def _unwritable(name: str, texts: Sequence[str], secret: Secret) -> Constraint | None:
    if any(secret(name, text) for text in texts):
        return Constraint("left", why="holds what looks like a credential, which belongs in no policy")
    return None if all(map(shown, texts)) else Constraint("left", why="holds characters that nobody would see")


def _is_path(text: str) -> bool:
    """Whether every reader finds the same place in it."""
    return re.fullmatch(r"[^\s\\%~]+", text) is not None and not {".", ".."} & set(text.split("/"))


def _listed(kind: Kind, values: Sequence[Any]) -> Constraint:
    return Constraint(kind, tuple(values)) if len(values) <= MOST_LISTED else _many(len(values))


def _many(count: int) -> Constraint:
    return Constraint("left", why=f"has {count} different or long values, too many to list honestly")


def _origins(texts: Sequence[str]) -> tuple[str, ...]:
    """What every text begins with up to the end of its host; nothing where one of them is no plain url."""
    found: set[str] = set()
    for text in texts:
        match = re.match(r"https?://[a-z0-9.-]+(:\d+)?(?=[/]|$)", text)
        if match is None or urlsplit(text).username is not None:
            return ()
        found.add(match[0])
    return tuple(sorted(found))


def _stands_for(value: Mapping[str, Any]) -> bool:
    """A text that was too large for policies to see."""
    return value.keys() == {"digest", "length"}


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if not any(type(value) is type(other) and value == other for other in found):
            found.append(value)
    return sorted(found, key=lambda value: (str(type(value)), str(value)))


def _has_ending(path: str) -> bool:
    return "." in path.rpartition("/")[2][1:]


def _above(path: str, tops: Iterable[str]) -> str:
    above = path.rpartition("/")[0]
    return path if path in tops or not above or above.endswith("..") else above


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/")
