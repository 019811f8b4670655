"""The nouns of Bascule: frozen, slotted, no I/O. A stage returns a new noun and never changes one.

The words are those of the design: a Call is a proposal only once it is bound to its Pin, a Decision becomes
a Grant only with its limits, an Outcome is what the executor saw and a Record is what the log keeps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType

JsonObject = dict[str, Any]
Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hex digits."""
RunId = NewType("RunId", str)
"""A UUIDv7 in its canonical text form: sorts by time."""


class Code(StrEnum):
    """The closed list of codes (surface.md). It grows only at its end: the place is the number on the wire."""

    PARSE = "PARSE"
    HEADER_MISMATCH = "HEADER_MISMATCH"
    TOO_LARGE = "TOO_LARGE"
    SCHEMA = "SCHEMA"
    SEMANTIC = "SEMANTIC"
    CONTEXT = "CONTEXT"
    NO_RULE = "NO_RULE"
    POLICY_DENIED = "POLICY_DENIED"
    POLICY_ENGINE = "POLICY_ENGINE"
    OBLIGATION = "OBLIGATION"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    APPROVAL_EXPIRED = "APPROVAL_EXPIRED"
    BUDGET = "BUDGET"
    RATE = "RATE"
    BRAKED = "BRAKED"
    TOOL_UNKNOWN = "TOOL_UNKNOWN"
    TOOL_DRIFTED = "TOOL_DRIFTED"
    SANDBOX_UNAVAILABLE = "SANDBOX_UNAVAILABLE"
    SANDBOX_VIOLATION = "SANDBOX_VIOLATION"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    UPSTREAM_TIMEOUT = "UPSTREAM_TIMEOUT"
    UPSTREAM_INVALID = "UPSTREAM_INVALID"
    RESULT_WITHHELD = "RESULT_WITHHELD"
    ROLLED_BACK = "ROLLED_BACK"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    LOG_UNAVAILABLE = "LOG_UNAVAILABLE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    APPROVAL_DENIED = "APPROVAL_DENIED"
    KEY_REUSED = "KEY_REUSED"
    FROZEN = "FROZEN"
    CANCELLED = "CANCELLED"


class Point(StrEnum):
    """The decision points that are built; each is a Rego package `bascule.<point>`."""

    LIST = "list"
    CALL = "call"
    EXECUTE = "execute"
    RESULT = "result"
    APPROVE = "approve"


class Effect(StrEnum):
    """A policy's answer."""

    ALLOW = "allow"
    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"


class Mode(StrEnum):
    """Whether a refusal is acted on (`enforce`) or only recorded (`shadow`)."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class Ending(StrEnum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    WITHHELD = "withheld"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    EXPIRED = "expired"


class RunState(StrEnum):
    """What survives a crash. Refused and settled runs are `ended`; an intent nobody settled is `frozen`."""

    WAITING = "waiting"
    INTENDED = "intended"
    FROZEN = "frozen"
    ENDED = "ended"


class PinState(StrEnum):
    """What the operator said of a tool definition."""

    ACCEPTED = "accepted"
    WAITING = "waiting"
    DRIFTED = "drifted"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the agent, its tenant, the person it acts for."""

    id: str
    tenant: str = "default"
    roles: tuple[str, ...] = ()
    person: str | None = None
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The set of upstreams an address reaches: `/mcp/{upstream}` one, `/mcp` and views several."""

    name: str
    upstreams: tuple[str, ...]
    qualified: bool
    """True where tools are named `server__tool`."""


@dataclass(frozen=True, slots=True)
class Round:
    """A later round of a call whose upstream asked something first: what was answered, and what that answers."""

    answers: JsonObject
    """`inputResponses` as sent: arguments like any other, by the key of what was asked."""
    state: str | None
    """From the client: our sealed `requestState`. Once unsealed: the upstream's own, None where it gave none."""
    previous: RunId | None = None
    """The run that asked."""
    parked: str = ""
    """What still waits upstream for these answers, where the upstream kept its request open."""
    questions: JsonObject | None = None
    """What was asked, by the same keys, each with its method and params; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Call:
    """One inbound request, any protocol; never changed after it was parsed."""

    principal: Principal
    endpoint: Endpoint
    kind: str
    """A `Kind`."""
    name: str
    """As the client sent it: the tool's or the prompt's name, the resource's URI, the method of what is `other`."""
    arguments: JsonObject
    protocol: str
    era: str
    """The protocol revision of this message, such as `2026-07-28`."""
    transport: str
    session: str
    task: str
    meta: JsonObject = field(default_factory=dict)
    """The request's `_meta`, as sent."""
    round: Round | None = None
    within: "Call | None" = None
    """The call during which its upstream asks this of the client."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the operator states about one tool. Without one, effects and reversal are `unknown`."""

    effects: tuple[str, ...] = ("unknown",)
    reversal: str = "unknown"
    types: Mapping[str, "TypeSpec"] = field(default_factory=dict)
    """JSON pointer into the arguments (`*` matches any array element) to the semantic type there."""
    trust: str = "untrusted"
    """Of its results: `trusted` or `untrusted`."""
    labels: tuple[str, ...] = ()
    """Labels its results add to the session, `untrusted` included where `trust` says so."""
    destinations: tuple[str, ...] = ()
    inferred: bool = False
    digest: Digest = Digest("")
    stated: JsonObject = field(default_factory=dict)
    """The whole entry as written, for the parts that do not act yet."""


@dataclass(frozen=True, slots=True)
class TypeSpec:
    """A semantic type as a manifest states it: its name and its own settings."""

    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pin:
    """A tool definition the operator accepted, by digest."""

    upstream: str
    name: str
    digest: Digest
    definition: JsonObject
    """The accepted definition, byte for byte what `digest` covers once canonical (RFC 8785)."""
    state: PinState
    manifest: Manifest
    mode: Mode = Mode.ENFORCE
    sandbox: str = ""
    """The profile that confines its server, `none` for a server that is not confined, empty for one with an address."""


@dataclass(frozen=True, slots=True)
class TypedValue:
    """An argument as what it means: policy never takes strings apart itself."""

    type: str
    value: str
    """The normal form (what a comparison may rely on)."""
    parts: Mapping[str, Any] = field(default_factory=dict)
    """What the type adds: `inside` of a path, `host`, `port`, `scheme` of a url, `domain` of an email."""
    prov: str = "argument"


@dataclass(frozen=True, slots=True)
class Check:
    """One validator's or screen's verdict. Scores and thresholds are integers in millionths."""

    name: str
    verdict: str
    """`pass` or `fail`."""
    score: int = 0
    threshold: int = 0
    detail: str = ""
    """Operator only."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A call bound to its pin, with typed values: what is judged is exactly this."""

    call: Call
    pin: Pin
    typed: Mapping[str, TypedValue] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """One snapshot of what is known now."""

    time: str
    """RFC 3339 in UTC, whole seconds."""
    labels: tuple[str, ...] = ()
    writes: int = 0
    sources: tuple[str, ...] = ()
    task_runs: int = 0
    budget: Mapping[str, Any] = field(default_factory=dict)
    """By the name of each budget that counts the proposal: what is left of it."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """What must be done for an allow to hold. The vocabulary is closed (policy/obligations.py)."""

    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Demand:
    """Whose agreement a rule wants before a proposal may run. Several demands must each be met."""

    roles: tuple[str, ...] = ()
    """One of them, of each who agrees; without any, whoever may approve at all."""
    quorum: int = 1
    """Distinct people."""
    expires_s: int = 86_400


@dataclass(frozen=True, slots=True)
class Decision:
    """The policy's answer at one point, with all that is needed to give it again."""

    id: str
    point: Point
    effect: Effect
    code: Code | None
    """Why not, when `effect` is not allow."""
    reasons: tuple[str, ...]
    would_pass: str
    obligations: tuple[Obligation, ...]
    bundle: Digest
    engine: str
    input: bytes
    """The input document as JSON, exactly as judged (sealed in the record)."""
    elapsed_us: int
    demands: tuple[Demand, ...] = ()
    """Of a `require_approval`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one execution. Seconds and bytes."""

    timeout_s: float
    """Of silence: progress begins it anew."""
    result_bytes: int
    most_s: float = 0.0
    """However much progress is reported; at least `timeout_s`."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What leaves a result before the reply: JSON pointers into it, and kinds of secrets (`*` is all)."""

    pointers: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to act once."""

    decision: Decision
    action: Effect
    """What is done: differs from `decision.effect` only in shadow."""
    limits: Limits
    redaction: Redaction = Redaction()
    labels: tuple[str, ...] = ()
    approval: str = ""
    """The id of the approval that it uses up."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the executor saw. `result` is the protocol's result object, parsed once."""

    result: JsonObject
    size: int
    """Bytes received from the upstream."""
    elapsed_us: int
    tool_error: bool = False
    """The tool itself reported an error (`isError`)."""
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller gets: a result object, or a JSON-RPC error."""

    result: JsonObject | None = None
    error: JsonObject | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class Record:
    """What one audit leaf says. `public` is in the leaf; of `sealed` only salted commitments are."""

    kind: str
    run: RunId | None = None
    public: Mapping[str, Any] = field(default_factory=dict)
    sealed: Mapping[str, bytes] = field(default_factory=dict)
