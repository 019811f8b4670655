"""What became of all that was asked: answered, failed because an upstream was away, strange, or never answered."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from bench.reading import Refusal, Unanswered

LONGEST_S: Final = 120.0
"""An answer that takes longer is none: a call ends after 60 s of silence by itself."""
AWAY: Final = frozenset({"UPSTREAM_UNAVAILABLE", "UPSTREAM_TIMEOUT", "UPSTREAM_INVALID", "OUTCOME_UNKNOWN"})
"""What may be said of a call while its upstream is killed and started again."""
SHOWN: Final = 12


class Strange(Exception):
    """An answer that is not what the upstream said."""


@dataclass(slots=True)
class Tally:
    """Of one run. Only counts and the first few of what should not be."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    heard: Counter[str] = field(default_factory=Counter)
    """Notifications and requests that came to a client, by method."""
    vanished: int = 0
    strange: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """What the gateway did not do even when all was quiet, with what it said."""

    @property
    def asked(self) -> int:
        """Everything whose answer was waited for."""
        return sum(self.answered.values()) + sum(self.failed.values()) + len(self.strange) + len(self.unanswered)

    async def one(self, what: str, doing: Coroutine[Any, Any, object], within_s: float = LONGEST_S) -> bool:
        """Do one thing and count what came of it; whether it was answered with a result."""
        try:
            async with asyncio.timeout(within_s):
                await doing
        except Refusal as refused:
            if refused.word in AWAY:
                self.failed[f"{what}: {refused.word}"] += 1
            else:
                self.strange.append(f"{what}: {refused}")
        except Strange as problem:
            self.strange.append(f"{what}: {problem}")
        except (Unanswered, TimeoutError, aiohttp.ClientError, ssl.SSLError, OSError) as problem:
            self.unanswered.append(f"{what}: {type(problem).__name__}: {problem}")
        else:
            self.answered[what] += 1
            return True
        return False

    def said(self) -> list[str]:
        """The figures."""
        lines = [f"asked {self.asked:,}, answered with a result {sum(self.answered.values()):,}"]
        lines += [f"  {count:>8,}  {what}" for what, count in sorted(self.answered.items())]
        lines.append(f"failed while an upstream was away {sum(self.failed.values()):,}")
        lines += [f"  {count:>8,}  {what}" for what, count in sorted(self.failed.items())]
        lines.append(
            "heard beside the answers: " + ", ".join(f"{what} {n:,}" for what, n in sorted(self.heard.items()))
        )
        lines.append(f"clients that vanished {self.vanished:,}")
        for name, found in (("strange", self.strange), ("unanswered", self.unanswered)):
            lines += [f"{name} {len(found)}", *(f"  {one}" for one in found[:SHOWN])]
        return lines
