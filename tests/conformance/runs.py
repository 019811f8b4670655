"""The runs of the official suite that are the gate: direct, through the gateway, and across the eras.

Each bridge lists one by one what cannot be, with the sentence of the specification that makes it so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.running import NAME, fixture, through
from tests.conformance.suite import CLIENT, LEGACY, MODERN, SERVER, Verdict, own_command, run, scenarios

AUTH = Path(__file__).with_name("auth.yml")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what the suite plays, and who stands at the other end."""

    role: str
    """What is tested: a `server`, or a `client`."""
    revision: str
    other: str
    """Of a server: the era of the fixture behind it. Of a client: the mode of the fixture before it."""
    governed: bool = True
    """Whether the gateway stands between."""
    exceptions: Mapping[str, str] = field(default_factory=dict)
    """Scenario, or `scenario:check`, to why it cannot be."""

    @property
    def title(self) -> str:
        between = "through the gateway" if self.governed else "directly"
        at = "the fixture server" if self.role == SERVER else "the fixture client"
        return f"{self.role} {self.revision} {between}, {at}: {self.other}"


DIRECT = (
    Run(SERVER, MODERN, "both", governed=False),
    Run(SERVER, LEGACY, "both", governed=False),
    Run(CLIENT, MODERN, "auto", governed=False),
    Run(CLIENT, LEGACY, "legacy", governed=False),
)
THROUGH = tuple(Run(direct.role, direct.revision, direct.other) for direct in DIRECT)
_KEYS = (
    '"Keys are server-assigned identifiers" (2026-07-28, `InputRequests`): a request of an older server has none that '
    "could be passed on, so the gateway assigns one, and the suite looks for `user_name`"
)
NO_KEYS = {
    "input-required-result-basic-elicitation:sep-2322-elicitation-incomplete": _KEYS,
    "input-required-result-ignore-extra-params:sep-2322-ignore-unexpected-params": (
        f"{_KEYS}, which it answers before it was asked; the gateway then asks"
    ),
}
AS_IT_MAY = {
    "server-sse-multiple-streams": (
        "a call of which nothing is told beside its result is answered in JSON, no stream: the server must return "
        '"either Content-Type: text/event-stream, to initiate an SSE stream, or Content-Type: application/json"'
    ),
}
"""Scenarios that pass in another way than directly, and the sentence that leaves the choice."""
BRIDGES = (
    Run(SERVER, MODERN, "legacy", exceptions=NO_KEYS),
    Run(SERVER, LEGACY, "modern"),
    Run(CLIENT, MODERN, "legacy"),
    Run(CLIENT, LEGACY, "2026-07-28"),
)


def failures(asked: Run, into: Path) -> Path | None:
    """The file of what is expected to fail: signing in, and the exceptions of a bridge."""
    if asked.role == CLIENT and not asked.exceptions:
        return AUTH
    if not asked.exceptions:
        return None
    file = into / "exceptions.yml"
    own = "".join(f"  - {name}\n" for name in asked.exceptions)
    file.write_text(AUTH.read_text() + own if asked.role == CLIENT else f"server:\n{own}")
    return file


async def verdict(asked: Run, into: Path) -> Verdict:
    """Run it; what it leaves is below `into`: `gateway` of a server, `clients` of a client, `seen`."""
    known = failures(asked, into)
    if asked.role == CLIENT:
        words = ["tests.conformance.through", "--into", str(into)] if asked.governed else ["tests.conformance.client"]
        command = own_command(*words, "--mode", asked.other)
        return await run(CLIENT, asked.revision, ["--command", command], into / "out", known)
    if not asked.governed:
        async with fixture(asked.other) as url:
            return await run(SERVER, asked.revision, ["--url", url], into / "out", known)
    async with through(into / "gateway", asked.other, into / "seen") as (served, _):
        return await run(SERVER, asked.revision, ["--url", served.url(NAME)], into / "out", known)


def faults(asked: Run, told: Verdict) -> list[str]:
    """Why the run does not pass; how many checks passed says nothing."""
    found = [f"the suite ended with {told.code}"] if told.code else []
    wanted = scenarios(asked.role, asked.revision)
    found += [f"{name} did not run" for name in sorted(wanted - told.scored.keys())]
    return found + [f"{name} failed" for name in sorted(told.failing - told.expected)]
