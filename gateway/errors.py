"""Every way a call can end without a result.

    BasculeError
    ├── ConfigError        the configuration, a manifest or a bundle is wrong: nothing starts, nothing is swapped
    ├── Malformed          the message is not one we may judge: JSON-RPC code and HTTP status of the specification
    ├── Refused            judged and not allowed, before the effect: a `Code`, a safe reason, what would make it pass
    ├── Failed             allowed and run, but there is no result to give: a `Code` and a safe reason
    ├── LogUnavailable     the log cannot commit: nothing runs until it can
    ├── Unreadable         the stored bytes are damaged: there is nothing to compare
    └── Fatal              the stored log contradicts itself: the process must stop

`.reason` may be shown to the caller. `.detail` goes to the operator's log and the record, never to the caller.
Programmer errors are Python's own exceptions.
"""

from gateway.model import Code, JsonObject

JSONRPC_NUMBER = {code: 1000 + place for place, code in enumerate(Code, start=1)}
"""The JSON-RPC error code of each `Code` where no tool result can carry it."""

SOFTENED_BY_SHADOW = frozenset(
    {
        Code.SEMANTIC,
        Code.CONTEXT,
        Code.NO_RULE,
        Code.POLICY_DENIED,
        Code.APPROVAL_REQUIRED,
        Code.BUDGET,
        Code.RATE,
        Code.RESULT_WITHHELD,
    }
)
"""What `mode: shadow` lets pass; every other code refuses as in enforce."""


class BasculeError(Exception):
    """Root of everything Bascule raises on purpose."""


class ConfigError(BasculeError):
    """A file the operator wrote is wrong. The message names file, line, key and what would be right."""

    def __init__(self, problem: str, *, file: str = "", line: int = 0, column: int = 0) -> None:
        place = ":".join(str(part) for part in (file, line, column) if part)
        super().__init__(f"{place}: {problem}" if place else problem)
        self.problem, self.file, self.line, self.column = problem, file, line, column


class Malformed(BasculeError):
    """The message cannot be judged at all; answered with the specification's own code and HTTP status."""

    def __init__(self, code: Code, reason: str, *, jsonrpc: int, status: int = 400, data: object = None) -> None:
        super().__init__(reason)
        self.code, self.reason, self.jsonrpc, self.status, self.data = code, reason, jsonrpc, status, data


class Refused(BasculeError):
    """The proposal may not run. Possible only before the intent is durable.

    `retry_after_s` are the seconds after which the same proposal may pass, 0 where time alone changes nothing.
    """

    def __init__(
        self, code: Code, reason: str, *, would_pass: str = "", detail: str = "", retry_after_s: int = 0
    ) -> None:
        super().__init__(reason)
        self.code, self.reason, self.would_pass, self.detail = code, reason, would_pass, detail
        self.retry_after_s = retry_after_s


class Failed(BasculeError):
    """The call was let through and brought no result.

    `unknown` is true when the effect may have happened all the same (a time-out, a broken connection
    after the request left): such a run ends `unknown`, is frozen for an operator and never repeated.
    `fault` is the upstream's own protocol error where the caller is to have its number: code and data, no words.
    """

    def __init__(
        self, code: Code, reason: str, *, detail: str = "", unknown: bool = False, fault: JsonObject | None = None
    ) -> None:
        super().__init__(reason)
        self.code, self.reason, self.detail, self.unknown, self.fault = code, reason, detail, unknown, fault

    def anew(self) -> "Failed":
        """The same, without the frames that raised it: one that is kept would keep all that they hold."""
        return Failed(self.code, self.reason, detail=self.detail, unknown=self.unknown, fault=self.fault)


class LogUnavailable(BasculeError):
    """The log could not commit. The caller is told `LOG_UNAVAILABLE`; the cause is in `detail`."""

    def __init__(self, detail: str) -> None:
        super().__init__("the audit log cannot commit")
        self.detail = detail


class Fatal(BasculeError):
    """The stored head and the stored records disagree: serving on would hide it."""


class Unreadable(BasculeError):
    """The stored bytes cannot be read at all: a damaged file, not a changed value."""
