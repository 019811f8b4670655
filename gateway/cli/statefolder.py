"""Where the state folder is, read from the configuration in a millisecond where that can be done without doubt.

Not a reader of YAML: config.py is, and whatever looks unusual here is left to it. Standard library only.
"""
# ruff: noqa: PLC0415 - a wrap pays only for what it imports

import os
import re

_UNUSUAL = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe]|\r(?!\n)|\\\\")
"""Characters that some reader takes for the end of a line, or that escape others."""
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):(?:\s+(.*))?")
_PLAIN = re.compile(r"(?:~/|/|\./|\.\./|\.(?=[A-Za-z_])|[A-Za-z_])[A-Za-z0-9_./-]*")
_QUOTED = re.compile(r"(\"[^\"\\$]+\"|'[^'$]+')\s*(?:(?<=\s)#.*)?")
_NO_TEXT = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"})
"""Words that one YAML or another takes for something else than text."""
_MARK = "\0"
"""Stands for a quoted text."""


def state_folder(file: str) -> str:
    """The absolute path of the state folder that the configuration names.

    Raises:
        Unserved: the configuration cannot be read, or is wrong.
    """
    try:
        with open(file, "rb") as opened:
            text = opened.read().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    stated = stated_state(text)
    if stated is None:
        from pathlib import Path

        from gateway import config
        from gateway.cli.owning import Unserved
        from gateway.errors import ConfigError

        try:
            return str(config.outline(Path(file)).state)
        except ConfigError as problem:
            raise Unserved(str(problem), 2) from None
    if stated:
        return os.path.join(os.path.dirname(os.path.abspath(file)), os.path.expanduser(stated))
    from platformdirs import user_state_dir

    return user_state_dir("bascule")


def stated_state(text: str) -> str | None:
    """What `state` says, empty where the file does not name it; None where only a reader of YAML could tell.

    Sure is a file of plain keys in the first column, in which nothing that a line opens (a quote, a bracket) is still
    open at its end: then what begins in the first column cannot be within anything else.
    """
    if not text or _UNUSUAL.search(text):
        return None
    found: str | None = ""
    above = ""
    for line in text.split("\n"):
        bare = _bare(line).rstrip()
        if not bare:
            continue
        if not _closed(bare):
            return None
        if bare[0] == " ":
            if above in {"", "state"}:  # an indented file, or a value of several lines
                return None
            continue
        key = _KEY.fullmatch(line.rstrip())
        if key is None:
            return None
        above = key[1]
        if above == "state":
            found = None if found else _value(key[2] or "")
            if found is None:
                return None
    return found if above else None


def _bare(line: str) -> str:
    """The line without its comment, each quoted text in it as a mark. A quote that stays is none, or is not closed."""
    if not any(character in line for character in "\"'#"):
        return line
    bare = ""
    at = 0
    while at < len(line):
        character = line[at]
        if character == "#" and (not bare or bare[-1] in " \t"):
            break
        if character in "\"'" and _begins_a_value(bare) and (end := line.find(character, at + 1)) > 0:
            bare += _MARK
            at = end
        else:
            bare += character
        at += 1
    return bare


def _begins_a_value(bare: str) -> bool:
    """Whether what follows is a value of its own, so that a quote there opens a quoted text."""
    before = bare.rstrip()
    if not before or before.strip() == "-" or before[-1] in ",[{":
        return True
    return before[-1] == ":" and (before != bare or before[-2:-1] == _MARK)


def _closed(bare: str) -> bool:
    """Whether no bracket and no quote is left open, and none closes what another line opened."""
    depth = 0
    for character in bare:
        if character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character in "\"'":
            return False
        if depth < 0:
            return False
    return depth == 0


def _value(text: str) -> str | None:
    if quoted := _QUOTED.fullmatch(text):
        return quoted[1][1:-1]
    plain = re.sub(r"(?<!\S)#.*", "", text).rstrip()
    return plain if _PLAIN.fullmatch(plain) and plain.lower() not in _NO_TEXT else None
