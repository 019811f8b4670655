"""Settings: what `bascule.yaml` may say, each key with its rule and its default.

Not the reading of the file: positions, `${VAR}` and the wording of errors are config.py's.
"""

import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_state_dir
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from gateway.model import Mode

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
    """A header's value: `${VAR}` and `_from` become what they stand for, when the file's reader is there to ask."""
    resolve = (info.context or {}).get("secret")
    resolved = resolve(value) if resolve else value
    if isinstance(resolved, str) and not re.fullmatch(r"[\x20-\x7e\t]*", resolved):
        raise ValueError("holds a line break or a character that no header may hold")
    return resolved


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
                    "properties": {"file": {"type": "string"}, "env": {"type": "string"}},
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
PlacedPath = Annotated[Path, AfterValidator(_placed)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Secret = Annotated[str, BeforeValidator(_secret), WithJsonSchema(_SECRET_SCHEMA)]
Days = Annotated[int, BeforeValidator(_days), WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,4}d$"})]


_CLOSED: dict[str, JsonValue] = {"additionalProperties": False}


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True, populate_by_name=True
    )


class Listen(_Part):
    """Where the gateway listens, and under which names it may be addressed."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on. Beyond loopback, `principals` must name somebody and `insecure_local` must be off."""
    port: int = Field(default=8484, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    hosts: tuple[str, ...] = ()
    """Further `Host` headers that are answered; loopback names and `host` always are."""
    origins: tuple[str, ...] = ()
    """`Origin` headers that are answered. Without any, a request that carries an origin is refused."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class PrincipalSettings(_Part):
    """Somebody who may ask: known by a bearer token, of which only the digest is kept."""

    tenant: str = Field(default="default", min_length=1, max_length=100)
    """The tenant that policy sees."""
    token_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    """SHA-256 of the bearer token in lower-case hex: `printf %s TOKEN | sha256sum`."""
    roles: tuple[str, ...] = ()
    """Roles that policy sees."""


class UpstreamSettings(_Part):
    """An MCP server behind the gateway, reached at `/mcp/NAME`."""

    url: Annotated[str, AfterValidator(_url)]
    """The server's address, http or https, streamable HTTP."""
    type: Literal["http", "streamable-http"] = "http"
    """As client configurations write it; nothing else is served."""
    headers: Mapping[HeaderName, Secret] = Field(default_factory=dict, repr=False)
    """Sent with each request. `${VAR}`, `${VAR:-default}` and `{_from: {file | env}}` stand for secrets."""
    mode: Mode = Mode.ENFORCE
    """`enforce` acts on a refusal, `shadow` only records it (needs `until`)."""
    until: date | None = None
    """The last day of `mode: shadow`; from the day after, the upstream is enforced."""
    trust: Literal["first_use", "review"] = "first_use"
    """`first_use` accepts the first complete list of tools, `review` waits for `bascule upstream accept`."""

    def mode_on(self, day: date) -> Mode:
        """The mode in force on that day."""
        return self.mode if self.until is None or day <= self.until else Mode.ENFORCE

    @field_validator("headers")
    @classmethod
    def _one_spelling(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        if twice := _first_twice(name.lower() for name in headers):
            raise ValueError(f"'{twice}' is given twice")
        return headers

    @model_validator(mode="after")
    def _shadow_ends(self) -> Self:
        if self.mode is Mode.SHADOW and self.until is None:
            raise ValueError("mode: shadow needs its last day, such as until: 2027-01-31")
        if self.mode is Mode.ENFORCE and self.until is not None:
            raise ValueError("until belongs to mode: shadow")
        return self


class DataSettings(_Part):
    """One document of data for the policies."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Policies read it as `data.NAME`."""
    file: PlacedPath
    """JSON or YAML; read when policies are loaded."""


class PolicySettings(_Part):
    """Which policies decide, and what runs them."""

    bundle: PlacedPath = Field(default="policies", validate_default=True)
    """Folder of Rego policies, or an OPA bundle tarball."""
    manifests: PlacedPath = Field(default="manifests", validate_default=True)
    """Folder with one YAML file per upstream: what its tools do."""
    engine: Literal["regorus", "opa"] = "regorus"
    """`regorus` in this process, or an `opa` server at `url`."""
    url: Annotated[str, AfterValidator(_url)] | None = None
    """The OPA server's address; only with `engine: opa`."""
    data: tuple[DataSettings, ...] = ()
    """Further data for the policies."""

    @model_validator(mode="after")
    def _engine_and_url(self) -> Self:
        if (self.engine == "opa") != (self.url is not None):
            raise ValueError("engine: opa needs url" if self.engine == "opa" else "url belongs to engine: opa")
        if twice := _first_twice(item.name for item in self.data):
            raise ValueError(f"data names '{twice}' twice")
        return self


class AuditSettings(_Part):
    """The audit log."""

    origin: str = Field(pattern=r"^[^\s+]+$", max_length=200)
    """The log's name in its signed heads, without a scheme, unique to this log: `example.org/bascule`."""
    payloads: Literal["sealed", "digest"] = "sealed"
    """`sealed` keeps payloads encrypted beside the log, `digest` keeps nothing readable."""
    keep_days: Days = Field(default="30d", alias="keep", validate_default=True)
    """How long sealed payloads are kept, in days."""


class LimitSettings(_Part):
    """Bounds of one message and one call."""

    body_mb: int = Field(default=4, ge=1, le=256)
    """Largest request, in MB."""
    result_mb: int = Field(default=16, ge=1, le=256)
    """Largest result, in MB; a larger one is withheld."""
    depth: int = Field(default=64, ge=4, le=192)
    """Deepest nesting of JSON in a request."""
    call_s: float = Field(default=60, gt=0, le=3600)
    """Longest call, in seconds; policies may shorten it."""
    policy_value_kb: int = Field(default=64, ge=1, le=1024)
    """Largest single argument that policies see whole, in KB; a larger one stands as digest and length."""


class Settings(_Part):
    """One gateway's whole configuration."""

    file: Path = Path("bascule.yaml")
    """The file it was read from."""
    version: Literal[1]
    """The format of this file."""
    state: PlacedPath = Field(default_factory=lambda: Path(user_state_dir("bascule")))
    """Folder of the database, the keys and the control socket. Default: `bascule` in the user's state directory."""
    listen: Listen = Listen()
    """Where the gateway listens."""
    principals: Mapping[PrincipalName, PrincipalSettings] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """Who may ask, by name."""
    insecure_local: bool = False
    """Whether a call without a token on loopback is the principal `local`."""
    upstreams: Mapping[UpstreamName, UpstreamSettings] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """The servers behind the gateway, by name. `mcpServers` is another word for it."""
    views: Mapping[UpstreamName, tuple[str, ...]] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """Several upstreams as one, at `/mcp/view/NAME`."""
    policy: PolicySettings = Field(default_factory=PolicySettings)
    """Which policies decide."""
    audit: AuditSettings
    """The audit log."""
    run_as: None = None
    """The user that stdio upstreams run as; none are served by this version, so it stays null."""
    limits: LimitSettings = LimitSettings()
    """Bounds of one message and one call."""

    @field_validator("principals")
    @classmethod
    def _one_token_each(cls, principals: Mapping[str, PrincipalSettings]) -> Mapping[str, PrincipalSettings]:
        owner: dict[str, str] = {}
        for name, principal in principals.items():
            if (other := owner.setdefault(principal.token_sha256, name)) != name:
                raise ValueError(f"'{other}' and '{name}' have the same token")
        return principals

    @field_validator("views")
    @classmethod
    def _views_hold_upstreams(cls, views: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for view, members in views.items():
            if not members or _first_twice(members):
                raise ValueError(f"'{view}' names no upstream, or one of them twice")
            unknown = [name for name in members if name not in info.data.get("upstreams", members)]
            if unknown:
                raise ValueError(f"'{view}' names '{unknown[0]}', which is no upstream")
        return views

    @model_validator(mode="after")
    def _strangers_stay_out(self) -> Self:
        if not self.listen.loopback and not self.principals:
            raise ValueError(f"listen.host {self.listen.host} is not loopback: name principals first")
        if not self.listen.loopback and self.insecure_local:
            raise ValueError(f"listen.host {self.listen.host} is not loopback: set insecure_local: false")
        return self


def default_origin() -> str:
    """A log's name for a machine whose operator gave none."""
    host = re.sub(r"[\s+/]", "-", socket.gethostname()) or "localhost"
    return f"{host}/bascule"


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
