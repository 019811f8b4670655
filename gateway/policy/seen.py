"""A call as the log kept it for a suggestion: who asked for what with which arguments, and what was said of it.

Not the record: that is sealed, and opened by whoever may.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.model import Code, Effect, JsonObject

HELPED = frozenset({Code.NO_RULE, Code.APPROVAL_REQUIRED})
"""What a rule that allows can change; a deny stands whatever else is allowed."""


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One recorded decision at `call`."""

    document: JsonObject
    """The input document, as judged."""
    effect: str
    code: str
    """Empty where it was allowed."""

    @property
    def principal(self) -> JsonObject:
        """Who asked."""
        found: JsonObject = self.document["principal"]
        return found

    @property
    def tool(self) -> tuple[str, str]:
        """Upstream and name."""
        return self.document["tool"]["upstream"], self.document["tool"]["name"]

    @property
    def args(self) -> JsonObject:
        """What was sent."""
        found: JsonObject = self.document["args"]
        return found

    @property
    def typed(self) -> Mapping[str, Mapping[str, Any]]:
        """What the arguments mean, by JSON pointer."""
        found: Mapping[str, Mapping[str, Any]] = self.document["typed"]
        return found

    def beyond(self) -> str:
        """Why no rule that allows would have let it pass; empty where one would."""
        checks = self.document.get("checks") or ()
        if any(check["name"] == "semantic" and check["verdict"] == "fail" for check in checks):
            return "an argument is not of the type its manifest states"
        if self.effect == Effect.ALLOW or self.code in HELPED:
            return ""
        return f"a rule refuses it ({self.code})"
