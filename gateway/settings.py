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

from platformdirs import user_state_dir
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from gateway.allowances import BudgetName, BudgetSettings
from gateway.model import Mode
from gateway.values import (
    Argument,
    Days,
    Folder,
    HeaderName,
    HeaderValue,
    PlacedPath,
    PrincipalName,
    Secret,
    UpstreamName,
    Url,
    VariableName,
)

_CLOSED: dict[str, JsonValue] = {"additionalProperties": False}
_OF_COMMANDS = ("args", "env", "folders", "sandbox", "network", "share", "allow_build")
_OF_ADDRESSES = ("headers", "auth", "oauth")


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


class ApproverSettings(_Part):
    """Somebody who may answer approvals: known by an Ed25519 key (`bascule approvals enroll NAME`)."""

    key: str = Field(pattern=r"^ed25519:[A-Za-z0-9+/]{43}=$")
    """The public key, as `approvals enroll` prints it."""
    roles: tuple[str, ...] = ()
    """Roles that policy sees, and that a rule may ask for (`from`)."""
    tenant: str | None = Field(default=None, min_length=1, max_length=100)
    """The only tenant whose approvals are theirs to answer; every tenant's without."""


Event = Literal[
    "approval.requested",
    "approval.granted",
    "approval.denied",
    "approval.expired",
    "brake.set",
    "brake.released",
    "pin.drifted",
    "run.unknown",
]


class NotifySettings(_Part):
    """Who is told by signed webhooks (standardwebhooks.com), and of what."""

    url: Url
    """Where they are sent; redirects are not followed."""
    secret: Secret = Field(min_length=1, repr=False)
    """What they are signed with: `whsec_…`, as a reference. References as in `headers`."""
    events: tuple[Event, ...] = ("approval.requested", "run.unknown")
    """What is told. Only the public part of the record goes out."""


class NetworkSettings(_Part):
    """What a confined server may reach."""

    allow: tuple[str, ...] = ()
    """Hosts with their ports, such as `api.github.com:443` or `*.example.org:443`; a private address only by itself."""


class OAuthSettings(_Part):
    """What an authorisation server must be told; without it the gateway registers itself."""

    client_id: str | None = Field(default=None, min_length=1)
    """The client that the operator registered there."""
    client_secret: Secret | None = Field(default=None, repr=False)
    """Its secret, as a reference."""
    issuer: Url | None = None
    """The only authorisation server that is accepted; worth naming wherever there is a `client_secret`."""
    scopes: tuple[str, ...] = ()
    """What is asked for; without any, what the server names."""
    redirect_port: int = Field(default=0, ge=0, le=65535)
    """Port on 127.0.0.1 to which the browser returns; 0 takes a free one."""


class UpstreamSettings(_Part):
    """An MCP server behind the gateway, reached at `/mcp/NAME`: one with an address, or a command that is run."""

    url: Url | None = None
    """The server's address, http or https, streamable HTTP."""
    type: Literal["http", "streamable-http", "stdio"] | None = None
    """As client configurations write it; `url` or `command` says the same."""
    headers: Mapping[HeaderName, HeaderValue] = Field(default_factory=dict, repr=False)
    """Sent with each request. `${VAR}`, `${VAR:-default}` and `{_from: {file | env | keyring}}` stand for secrets."""
    auth: Literal["oauth"] | None = None
    """`oauth`: the gateway logs in to the server itself (`bascule upstream login NAME`)."""
    oauth: OAuthSettings | None = None
    """Only with `auth: oauth`."""
    command: Argument | None = None
    """What runs the server: `npx`, `uvx`, `python`, `node`, or an absolute path."""
    args: tuple[Argument, ...] = ()
    """The command's arguments."""
    env: Mapping[VariableName, Secret] = Field(default_factory=dict, repr=False)
    """The server's environment; it inherits nothing. References as in `headers`."""
    folders: Mapping[Folder, Literal["ro", "rw"]] = Field(default_factory=dict)
    """Folders of this machine that the server sees, to read (`ro`) or to write (`rw`)."""
    sandbox: str = Field(default="default", pattern=r"^[a-z][a-z0-9-]{0,39}$")
    """A profile (`sandboxes/NAME.yaml`), or `none`: not confined at all, which stands in every record."""
    network: NetworkSettings = NetworkSettings()
    """What the server may reach; nothing unless it stands here."""
    share: Literal["principal", "all"] = "principal"
    """`principal` runs a process for each who asks, `all` one for everybody."""
    allow_build: bool = False
    """Whether packages that run code when they are installed are taken."""
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
    def _one_kind(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("should have url (a server with an address) or command (one that is run), one of the two")
        kind, foreign = ("url", _OF_COMMANDS) if self.command is None else ("command", _OF_ADDRESSES)
        if given := [key for key in foreign if key in self.model_fields_set]:
            raise ValueError(f"{given[0]} does not go with {kind}")
        if self.type is not None and (self.type == "stdio") != (self.url is None):
            raise ValueError(f"type {self.type} does not go with {kind}")
        if self.oauth is not None and self.auth is None:
            raise ValueError("oauth belongs to auth: oauth")
        return self

    @model_validator(mode="after")
    def _shadow_ends(self) -> Self:
        if self.mode is Mode.SHADOW and self.until is None:
            raise ValueError("mode: shadow needs its last day, such as until: 2027-01-31")
        if self.mode is Mode.ENFORCE and self.until is not None:
            raise ValueError("until belongs to mode: shadow")
        return self


class ViewSettings(_Part):
    """Several upstreams as one; a plain list of them says `upstreams` alone."""

    upstreams: tuple[str, ...]
    """Those it shows, in this order: the first of two that list the same URI is its owner."""
    search: Literal["also", "only"] | None = None
    """Adds the tool `bascule__search_tools`: `also` beside the others, `only` in place of them in the list."""


class _ListOfUpstreams:
    """Lets a view be written as the list of its upstreams, in the file and in its schema."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "array", "items": {"type": "string"}}, handler(core_schema)]}


def _written_whole(view: object) -> object:
    """A view as a mapping. What was JSON is Python by now, where a strict tuple takes no list."""
    if isinstance(view, list | tuple):
        return {"upstreams": tuple(view)}
    if isinstance(view, dict) and isinstance(view.get("upstreams"), list):
        return view | {"upstreams": tuple(view["upstreams"])}
    return view


View = Annotated[ViewSettings, BeforeValidator(_written_whole), _ListOfUpstreams()]


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
    url: Url | None = None
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
    """Longest silence of a call, in seconds; policies may shorten it."""
    call_most_s: float = Field(default=600, gt=0, le=86_400)
    """Longest call in all, in seconds, however much progress it reports."""
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
    approvers: Mapping[PrincipalName, ApproverSettings] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """Who may answer approvals, by name."""
    notify: Mapping[UpstreamName, NotifySettings] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """Who is told of what waits or went wrong, by name."""
    budgets: Mapping[BudgetName, BudgetSettings] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """What may be used up, by name."""
    insecure_local: bool = False
    """Whether a call without a token on loopback is the principal `local`."""
    upstreams: Mapping[UpstreamName, UpstreamSettings] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """The servers behind the gateway, by name. `mcpServers` is another word for it."""
    views: Mapping[UpstreamName, View] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """Several upstreams as one, at `/mcp/view/NAME`."""
    policy: PolicySettings = Field(default_factory=PolicySettings)
    """Which policies decide."""
    audit: AuditSettings
    """The audit log."""
    run_as: Annotated[int, Field(ge=1, le=2**32 - 2)] | Annotated[str, Field(min_length=1)] | None = None
    """The user, by number or name, that stdio servers run as when the gateway is root. Default: the owner of the first
    folder they may write, else 65534."""
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

    @field_validator("approvers")
    @classmethod
    def _one_key_each(cls, approvers: Mapping[str, ApproverSettings]) -> Mapping[str, ApproverSettings]:
        owner: dict[str, str] = {}
        for name, approver in approvers.items():
            if (other := owner.setdefault(approver.key, name)) != name:
                raise ValueError(f"'{other}' and '{name}' have the same key: they would count as two people")
        return approvers

    @field_validator("views")
    @classmethod
    def _views_hold_upstreams(cls, views: dict[str, ViewSettings], info: ValidationInfo) -> dict[str, ViewSettings]:
        for view, members in ((name, one.upstreams) for name, one in views.items()):
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
