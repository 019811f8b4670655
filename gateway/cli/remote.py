"""Approvals at a gateway on another machine: asked over HTTPS with the approver's token.

What is signed is made and signed here; the passphrase and the key never leave this machine.
"""
# ruff: noqa: PLC0415 - a command pays only for what it imports

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from gateway.cli.terminal import printable, working
from gateway.errors import BasculeError, ConfigError, Refused
from gateway.model import Code, JsonObject

if TYPE_CHECKING:
    import httpx2

LARGEST: Final = 64 << 20
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SHOWN: Final = frozenset({"approval", "state", "digest", "origin", "expires", "asked", "demands", "answers"})


def at(url: str, token: str | None, action: str, **given: Any) -> JsonObject:
    """The same actions as at the gateway's own machine, for the holder of this token.

    Raises:
        ConfigError: the address or the token is wrong, there is no such request, or it can be answered no more.
        Refused: the answer does not count.
        BasculeError: no gateway answers there, or something else does.
    """
    base = address(url)
    if not token:
        raise ConfigError("the token is missing: give --token or set BASCULE_TOKEN")
    approval = quote(str(given.get("approval", "")), safe="")
    where = f"{base}/{approval}" if approval else base
    body = None
    if action == "approvals_answer":
        body = {name: given[name] for name in ("verdict", "reason", "signature")}
    with working(action.replace("_", " ")):
        status, found = _exchanged(where, token, body)
    if status != 200:
        raise _problem(status, found)
    if action == "approvals_show" and not found.keys() >= _SHOWN:
        raise BasculeError(f"what answers at {base} is no gateway that this version knows")
    return found


def address(url: str) -> str:
    """Where the approvals of a gateway are.

    Raises:
        ConfigError: it is no address, or the token would travel in the open.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ConfigError("--url should be the gateway's address without a path, such as https://gate.example")
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise ConfigError("--url should begin with https://: over http everybody on the way could read the token")
    return f"{parts.scheme}://{parts.netloc}/approvals"


def _exchanged(where: str, token: str, body: JsonObject | None) -> tuple[int, JsonObject]:
    import httpx2

    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    local = urlsplit(where).hostname in _LOCAL
    try:
        with (
            httpx2.Client(headers=headers, timeout=30, trust_env=not local, follow_redirects=False) as http,
            http.stream("GET" if body is None else "POST", where, json=body) as response,
        ):
            return response.status_code, _read(response)
    except (httpx2.TransportError, httpx2.InvalidURL, OSError):
        raise BasculeError(f"no gateway answers at {where}") from None


def _read(response: "httpx2.Response") -> JsonObject:
    import orjson

    whole = bytearray()
    for part in response.iter_bytes():
        whole += part
        if len(whole) > LARGEST:
            raise BasculeError("the gateway's answer is too large to show")
    try:
        found = orjson.loads(whole)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {}


def _problem(status: int, found: JsonObject) -> BasculeError:
    error = found.get("error")
    error = error if isinstance(error, dict) else {}
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    reason = printable(str(error.get("message", f"it answered with status {status}")))
    match status:
        case 401:
            return ConfigError("the token is not known there: give --token or set BASCULE_TOKEN")
        case 403 if data.get("code") in set(Code):
            return Refused(Code(data["code"]), reason, would_pass=printable(str(data.get("would_pass", ""))))
        case 404:
            return ConfigError("there is no such approval for you there: see `bascule approvals list --url URL`")
        case 400 | 409:
            return ConfigError(reason)
    return BasculeError(reason)
