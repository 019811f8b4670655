"""What changes in a client's file, for a person: a unified diff in which all that may be secret is shown as ***.

What is shown: keys, and of a server's entry its type, command, arguments and address. Nothing else of the file.
"""

import difflib
import json
from collections.abc import Iterator
from pathlib import Path

from gateway.clients import jsonc
from gateway.clients.jsonc import Document, Edit, Value
from gateway.clients.wording import looks_secret, secret_at, secret_in_address
from gateway.errors import ConfigError

_SHOWN = ("type", "transport", "transportType", "command")
_ADDRESS = ("url", "serverUrl", "httpUrl")
HIDDEN = "***"


def difference(path: Path, before: str, after: str) -> str:
    """The diff of a client's file; empty where nothing changes that may be shown."""
    old, new = (masked(text).splitlines() for text in (before, after))
    return "\n".join(difflib.unified_diff(old, new, str(path), str(path), n=2, lineterm=""))


def masked(text: str) -> str:
    """The text with its values hidden. What is no JSON (any more) is hidden whole."""
    try:
        document = jsonc.read(text, "")
    except ConfigError:
        return "(no JSON: not shown)"
    shown = set(_shown(document.root))
    edits: list[Edit] = [
        (value.start, value.end, json.dumps(HIDDEN))
        for value in _scalars(document.root)
        if (value.start, value.end) not in shown and value.plain != ""
    ]
    return jsonc.edited(text, [*edits, *_comments(document)])


def _comments(document: Document) -> Iterator[Edit]:
    for start, end in document.comments:
        block = document.text.startswith("/*", start)
        yield start, end, "/* … */" if block else "// …"


def _scalars(value: Value) -> Iterator[Value]:
    if value.kind in {"string", "number"}:
        yield value
    for inner in (*(member.value for member in value.members.values()), *value.items):
        yield from _scalars(inner)


def _shown(value: Value) -> Iterator[jsonc.Span]:
    """The places of what may be seen."""
    for key, member in value.members.items():
        if key in {"mcpServers", "servers"}:
            for entry in member.value.members.values():
                yield from _of_entry(entry.value)
        elif key == "projects":
            for project in member.value.members.values():
                yield from _shown(project.value)


def _of_entry(entry: Value) -> Iterator[jsonc.Span]:
    for key, member in entry.members.items():
        value = member.value
        text = value.plain if isinstance(value.plain, str) else ""
        if (key in _SHOWN and not looks_secret(text)) or (key in _ADDRESS and not secret_in_address(text)):
            yield value.start, value.end
        if key == "args":
            words = tuple(str(item.plain) for item in value.items)
            for at, item in enumerate(value.items):
                # One by one: after the first secret, others may follow.
                if secret_at(words[max(0, at - 1) : at + 1]) is None:
                    yield item.start, item.end
