"""Finding tools by words: an index in memory (SQLite FTS5) over names, titles and descriptions.

Not who may see what is found: the names come back in order of fit, and the caller leaves out what is hidden.
"""

import re
import sqlite3
import threading
from collections.abc import Iterable
from typing import Final, NamedTuple

MOST_WORDS: Final = 32
BEGINS: Final = 3
"""Characters from which on a word also finds those that begin with it."""
_LONGEST_TEXT: Final = 8_192
"""Characters of one description that are indexed."""
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TABLE: Final = "CREATE VIRTUAL TABLE tools USING fts5(name, title, description, tokenize='porter unicode61')"
_FIND: Final = "SELECT rowid FROM tools WHERE tools MATCH ? ORDER BY bm25(tools, 8.0, 4.0, 1.0), rowid"


class Entry(NamedTuple):
    """One tool as it is looked for."""

    upstream: str
    name: str
    title: str
    description: str


class Words:
    """An index of tools. It may be asked from any thread."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._asking = threading.Lock()
        self._database.execute(_TABLE)
        rows = (
            (place, _split(f"{one.upstream} {one.name}"), _plain(one.title), _plain(one.description))
            for place, one in enumerate(self._entries)
        )
        self._database.executemany("INSERT INTO tools(rowid, name, title, description) VALUES (?, ?, ?, ?)", rows)
        self._database.commit()

    def find(self, query: str) -> tuple[Entry, ...]:
        """The tools that hold any of the words or a word that begins with one, the best first."""
        words = dict.fromkeys(_WORD.findall(_split(query)))
        if not words:
            return ()
        # Each word is quoted: nothing in a query is an operator. `_WORD` leaves no quotation mark in it.
        match = " OR ".join(f'"{word}"*' if len(word) >= BEGINS else f'"{word}"' for word in list(words)[:MOST_WORDS])
        with self._asking:
            rows = self._database.execute(_FIND, (match,)).fetchall()
        return tuple(self._entries[place] for (place,) in rows)

    def __del__(self) -> None:
        self._database.close()


def _split(text: str) -> str:
    """`readFile` as two words, and as one."""
    text = _plain(text)
    apart = _HUMP.sub(" ", text)
    return text if apart == text else f"{apart} {text}"


def _plain(text: str) -> str:
    """What SQLite can store: UTF-8 knows no lone surrogate, and a null ends a text."""
    return text[:_LONGEST_TEXT].encode(errors="replace").decode().replace("\0", " ")
