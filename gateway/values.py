"""The kinds of values that stand in `bascule.yaml`: names, paths, addresses, days, secrets, each with its own rule."""

import os
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, StringConstraints, ValidationInfo, WithJsonSchema

RESERVED_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "accept-encoding"}
)
RESERVED_PRINCIPALS = frozenset({"local", "bascule"})
"""`local` is whom `insecure_local` lets in; `bascule` makes the gateway's own calls."""


def _upstream_name(name: str) -> str:
    if "__" in name:
        raise ValueError("a name holds no '__': it separates upstream and tool in `server__tool`")
    if name in {"bascule", "view"}:
        raise ValueError(f"'{name}' is taken by an address of the gateway")
    return name


def _principal_name(name: str) -> str:
    if name in RESERVED_PRINCIPALS:
        raise ValueError(f"'{name}' is reserved")
    return name


def _placed(path: Path, info: ValidationInfo) -> Path:
    """A relative path is relative to the file that names it."""
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / path.expanduser()


def _days(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        if not (match := re.fullmatch(r"([1-9][0-9]{0,4})d", value)):
            raise ValueError("should be whole days, such as 30d")
        return int(match[1])
    if info.context:
        raise ValueError("should be whole days with their unit, such as 30d")
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        raise ValueError("should be an http or https address") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_number:
        raise ValueError("should be an http or https address, such as https://crm.example/mcp")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a password: put it into headers, as a reference such as ${CRM_TOKEN}")
    if parts.fragment or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise ValueError("should be plain ASCII without spaces and without '#'")
    return value


def _secret(value: object, info: ValidationInfo) -> object:
    """A secret value: `${VAR}` and `_from` become what they stand for, when the file's reader is there to ask."""
    resolve = (info.context or {}).get("secret")
    return resolve(value) if resolve else value


def _in_a_header(value: str) -> str:
    if not re.fullmatch(r"[\x20-\x7e\t]*", value):
        raise ValueError("holds a line break or a character that no header may hold")
    return value


def _in_an_argument(value: str) -> str:
    if "\0" in value:
        raise ValueError("holds a null character")
    return value


def _folder(path: str, info: ValidationInfo) -> str:
    """A folder a server is given: absolute, written as it is meant (`/srv/../etc` is `/etc`)."""
    folder: Path = (info.context or {}).get("folder", Path())
    placed = os.path.normpath(folder / Path(path).expanduser())
    if placed == "/":
        raise ValueError("the whole machine cannot be granted: name the folders that are needed")
    return placed


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError("is not a header name")
    if name.lower() in RESERVED_HEADERS or name.lower().startswith("mcp-"):
        raise ValueError("the gateway sets this header itself")
    return name


_SECRET_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {
                "_from": {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in ("file", "env", "keyring")},
                    "additionalProperties": False,
                    "minProperties": 1,
                    "maxProperties": 1,
                }
            },
            "required": ["_from"],
            "additionalProperties": False,
        },
    ]
}

UpstreamName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]*[a-z0-9-])?$", max_length=40),
    AfterValidator(_upstream_name),
]
PrincipalName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$", max_length=100), AfterValidator(_principal_name)
]
Url = Annotated[str, AfterValidator(_url)]
PlacedPath = Annotated[Path, AfterValidator(_placed)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Secret = Annotated[str, AfterValidator(_in_an_argument), BeforeValidator(_secret), WithJsonSchema(_SECRET_SCHEMA)]
HeaderValue = Annotated[Secret, AfterValidator(_in_a_header)]
Argument = Annotated[str, AfterValidator(_in_an_argument)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Folder = Annotated[str, AfterValidator(_in_an_argument), AfterValidator(_folder)]
Days = Annotated[int, BeforeValidator(_days), WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,4}d$"})]
