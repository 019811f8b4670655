"""Bearer token -> Principal, and the count of those who had none.

Not authorization: what a principal may do is the policy's. A token is neither kept nor logged, only its SHA-256.
"""

import hashlib
from collections import Counter
from typing import NoReturn

from gateway.config import Settings
from gateway.errors import JSONRPC_NUMBER, Malformed
from gateway.model import Code, Principal

LOCAL = Principal("local")
"""Who asks without a token on loopback, where `insecure_local` is set."""
REASONS = frozenset({"missing", "scheme", "token", "host", "origin", "http"})
_OTHER = "other"


class Failures:
    """How often strangers were turned away since the last summary. Its size does not grow with their number."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, reason: str) -> None:
        """One more, by its reason: one of REASONS, anything else counts as `other`."""
        self._counts[reason if reason in REASONS else _OTHER] += 1

    def take(self) -> dict[str, int]:
        """The counts since the last take, empty where nobody failed; counting starts again."""
        taken, self._counts = self._counts, Counter()
        return dict(taken)


class Authenticator:
    """Knows each principal by the digest of its token."""

    __slots__ = ("_by_digest", "_insecure_local", "failures")

    def __init__(self, settings: Settings, failures: Failures | None = None) -> None:
        # A digest is looked up in a table, which takes time that depends on the digest. That tells nothing: to
        # steer a digest towards a stored one is to invert SHA-256, so comparing in constant time would add nothing.
        self._by_digest = {
            bytes.fromhex(known.token_sha256): Principal(name, known.tenant, tuple(known.roles))
            for name, known in settings.principals.items()
        }
        self._insecure_local = settings.insecure_local
        self.failures = failures if failures is not None else Failures()

    def principal(self, authorization: str | None, *, loopback: bool) -> Principal:
        """Who sent this `Authorization` header from a peer on loopback or beyond, or Malformed with status 401."""
        if authorization is None:
            if loopback and self._insecure_local:
                return LOCAL
            self._refuse("missing", "a bearer token is required")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not (token := token.strip(" ")):
            self._refuse("scheme", "the Authorization header must be: Bearer <token>")
        # Also on loopback a wrong token is refused: it says that somebody else was meant.
        known = self._by_digest.get(hashlib.sha256(token.encode("latin-1", "backslashreplace")).digest())
        if known is None:
            self._refuse("token", "the bearer token is not valid")
        return known

    def _refuse(self, counted: str, reason: str) -> NoReturn:
        self.failures.count(counted)
        code = Code.UNAUTHENTICATED
        raise Malformed(code, reason, jsonrpc=JSONRPC_NUMBER[code], status=401)
