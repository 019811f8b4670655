"""JSON as clients' configuration files hold it: comments, commas at the end, a byte order mark; read with places.

Not a formatter: an edit replaces the characters it names, all others stay as they are. Strict where clients differ: a
key given twice is refused, as is whatever only JSON5 allows.
"""

import bisect
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined] # the standard reader of one string
from typing import Any, Literal

from gateway.errors import ConfigError

DEPTH = 64
Span = tuple[int, int]
Edit = tuple[int, int, str]
"""From where to where, and what stands there instead."""

_SPACE = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None}
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Value:
    """A value and the characters it stands on, `text[start:end]`."""

    kind: Literal["object", "array", "string", "number", "word"]
    start: int
    end: int
    plain: Any = None
    """What a string, a number or a word says."""
    members: Mapping[str, "Member"] = field(default_factory=dict)
    items: tuple["Value", ...] = ()

    def get(self, key: str) -> "Value | None":
        """The value of a member; None where this is no object or has no such member."""
        member = self.members.get(key)
        return member.value if member else None

    def data(self) -> Any:
        """The value without its places."""
        if self.kind == "object":
            return {key: member.value.data() for key, member in self.members.items()}
        return [item.data() for item in self.items] if self.kind == "array" else self.plain


@dataclass(frozen=True, slots=True)
class Member:
    """A key, where it begins, and its value."""

    key: str
    start: int
    value: Value


@dataclass(frozen=True, slots=True)
class Document:
    """A text that was read."""

    text: str
    root: Value
    comments: tuple[Span, ...] = ()


def read(text: str, file: str) -> Document:
    """The text with its places. Raises ConfigError that names file, line and column."""
    reader = _Reader(text, file)
    at = reader.skip(1 if text.startswith("\ufeff") else 0)
    root = reader.value(at, 0)
    end = reader.skip(root.end)
    if end != len(text):
        raise reader.fault(end, "something follows the end of the JSON")
    return Document(text, root, tuple(reader.comments))


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with every edit made; they must not overlap."""
    parts, at = [], 0
    for start, end, new in sorted(edits):
        if start < at:
            raise ValueError("two edits overlap")
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.comments: list[Span] = []

    def fault(self, at: int, problem: str) -> ConfigError:
        lines = [match.end() for match in re.finditer("\n", self.text[:at])]
        line = bisect.bisect_right(lines, at)
        return ConfigError(problem, file=self.file, line=line + 1, column=at - (lines[-1] if lines else 0) + 1)

    def skip(self, at: int) -> int:
        """The place behind white space and comments."""
        while True:
            at = _end(_SPACE, self.text, at)
            if self.text[at : at + 1] != "/":
                return at
            comment = _COMMENT.match(self.text, at)
            if comment is None:
                raise self.fault(at, "should be a comment with an end")
            self.comments.append(comment.span())
            at = comment.end()

    def value(self, at: int, depth: int) -> Value:
        if depth > DEPTH:
            raise self.fault(at, "is nested too deep")
        match self.text[at : at + 1]:
            case "{":
                return self.object(at, depth)
            case "[":
                return self.array(at, depth)
            case '"':
                return self.string(at)
            case "":
                raise self.fault(at, "ends before its JSON does")
        for word, plain in _WORDS.items():
            if self.text.startswith(word, at):
                return Value("word", at, at + len(word), plain)
        if number := _NUMBER.match(self.text, at):
            return Value("number", at, number.end(), float(number[0]))
        raise self.fault(at, "should be a JSON value")

    def string(self, at: int) -> Value:
        try:
            plain, end = scanstring(self.text, at + 1)
        except json.JSONDecodeError as problem:
            raise self.fault(problem.pos, f"not JSON: {problem.msg}") from None
        if _SURROGATE.search(plain):
            raise self.fault(at, "holds half a character (a lone surrogate)")
        return Value("string", at, end, plain)

    def object(self, start: int, depth: int) -> Value:
        members: dict[str, Member] = {}
        at = self.skip(start + 1)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                raise self.fault(at, "should be a key in double quotes")
            name = self.string(at)
            if first := members.get(name.plain):
                line = self.text.count("\n", 0, first.start) + 1
                raise self.fault(at, f"the key {json.dumps(name.plain)} is given twice, first in line {line}")
            colon = self.skip(name.end)
            if self.text[colon : colon + 1] != ":":
                raise self.fault(colon, "should be ':' after a key")
            value = self.value(self.skip(colon + 1), depth + 1)
            members[name.plain] = Member(name.plain, at, value)
            at = self.next(value.end, "}")
        return Value("object", start, at + 1, members=members)

    def array(self, start: int, depth: int) -> Value:
        items: list[Value] = []
        at = self.skip(start + 1)
        while self.text[at : at + 1] != "]":
            items.append(self.value(at, depth + 1))
            at = self.next(items[-1].end, "]")
        return Value("array", start, at + 1, items=tuple(items))

    def next(self, at: int, close: str) -> int:
        """The place of the next entry, or of the bracket that closes; a comma may stand before that one."""
        at = self.skip(at)
        if self.text[at : at + 1] == ",":
            return self.skip(at + 1)
        if self.text[at : at + 1] != close:
            raise self.fault(at, f"should be ',' or '{close}'")
        return at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
