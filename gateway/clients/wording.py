"""The texts of an entry: a client's references in our words, and what must not be carried along as it stands.

No problem it names holds the value of a text: a person may read it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from gateway.clients.places import Client
from gateway.errors import ConfigError
from gateway.screening import credentials

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_BEFORE_A_REFERENCE = re.compile(r"(?:(?:bearer|basic|token|bot|apikey|key)\s+)?", re.IGNORECASE)
_HARMLESS = re.compile(r"[A-Za-z]{0,8}|[0-9]{1,5}|https?://[A-Za-z0-9.-]+(?::[0-9]+)?/?")
_SECRET_NAME = re.compile(r"(?i)(?:token|key|secret|passw(?:or)?d|pwd|auth|authorization|credentials?|bearer|pat)$")
_SECRET_HEADER = re.compile(r"(?i)[a-z-]*(?:authorization|token|key|secret|cookie)\s*:\s*\S")
_OPAQUE = re.compile(r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=\D*\d)[A-Za-z0-9_+=-]{24,}|[0-9a-f]{32,}")


_ELSEWHERE = {
    "workspaceFolder": "depends on the folder the client works in, and Bascule serves them all: name the folder",
    "CLAUDE_PROJECT_DIR": "depends on the folder the client works in, and Bascule serves them all: name the folder",
    "CLAUDE_PLUGIN": "is known only inside its plugin",
    "input:": "is asked for by the client when it starts: put it into a variable and write ${env:NAME}",
    "config:": "is a setting of the client: write its value",
    "command:": "is the answer of a command of the client: write its value",
}


@dataclass(frozen=True, slots=True)
class Worded:
    """A value of `env` or `headers`: a literal, which is kept as a secret, or text with references."""

    text: str = field(repr=False)
    literal: bool


@dataclass(frozen=True, slots=True)
class Words:
    """References as one client writes them, in ours."""

    client: Client
    home: Path
    environ: Mapping[str, str]

    def plain(self, key: str, text: str) -> str:
        """A text that may refer only to the home folder."""
        text = self._placed(text)
        if self.client.references and (match := _REFERENCE.search(text)):
            self._variable(match[1])
            raise ConfigError(f"{key} refers to {match[0]}, and references are read only in env and headers")
        if "${" in text:
            raise ConfigError(f"{key} holds '${{', which bascule.yaml would read as a reference")
        return text

    def worded(self, key: str, text: str) -> Worded:
        """A value of env or headers."""
        if "\r" in text or "\0" in text or text.endswith("\n"):
            raise ConfigError(f"{key} holds a line break or a character that a secret's file does not keep")
        text = self._placed(text)
        if not self.client.references or not _REFERENCE.search(text):
            return Worded(text, literal=True)
        ours = _REFERENCE.sub(lambda match: self._variable(match[1]), text)
        if not _BEFORE_A_REFERENCE.fullmatch(_REFERENCE.sub("", text)):
            raise ConfigError(f"{key} mixes a reference with a text that may be secret: put the whole into a variable")
        return Worded(ours, literal=False)

    def _placed(self, text: str) -> str:
        if not self.client.references:
            return text
        for word in ("userHome", "env:HOME", "HOME"):
            text = text.replace(f"${{{word}}}", str(self.home))
        return text.replace("${pathSeparator}", "/").replace("${/}", "/")

    def _variable(self, body: str) -> str:
        """`${NAME}` for what the client means by `${body}`."""
        for start, why in _ELSEWHERE.items():
            if body.startswith(start):
                raise ConfigError(f"${{{body.partition(':-')[0]}}} {why}")
        inner = body.removeprefix("env:")
        form = "${env:NAME}" if body != inner else "${NAME}"
        match = _VARIABLE.fullmatch(inner)
        if match is None or form not in self.client.references:
            raise ConfigError(
                f"{self.client.title} has its own meaning for a '${{…}}' in it: write a value or ${{NAME}}"
            )
        name, default = match[1], match[2]
        if default is not None and not _HARMLESS.fullmatch(default):
            raise ConfigError(f"the default of ${{{name}}} may be a secret: set the variable instead")
        if default is None and not self.environ.get(name):
            raise ConfigError(f"${{{name}}} is not set here, and the gateway would not start without it: set it first")
        return f"${{{inner}}}"


def secret_at(args: tuple[str, ...]) -> int | None:
    """The place of the first argument that looks like a secret."""
    for at, arg in enumerate(args):
        before = args[at - 1] if at else ""
        name, equals, value = arg.partition("=")
        asked = before.startswith("-") and "=" not in before and not arg.startswith("-") and _names(before)
        if asked or (equals and value and _names(name)) or looks_secret(value or arg):
            return at
        if _SECRET_HEADER.match(arg):
            return at
    return None


def secret_in_address(url: str) -> bool:
    """Whether an address carries a secret: before its host, in its path or in a parameter."""
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query)
    except ValueError:
        return True
    if parts.password or any(_names(name) for name, value in given if value):
        return True
    return any(looks_secret(part) for part in (*parts.path.split("/"), *(value for _, value in given)))


def _names(name: str) -> bool:
    return _SECRET_NAME.search(name.strip("-").replace("_", "-")) is not None


def looks_secret(text: str) -> bool:
    """Whether a text has the form of a secret."""
    return _OPAQUE.fullmatch(text) is not None or any(credentials.find(text, False, credentials.EVERY))  # noqa: FBT003 - HOT elsewhere
