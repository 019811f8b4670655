"""The operator action that drafts grants from what was recorded. It only reads; the command line writes the files."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from gateway.admin.opening import Opener
from gateway.admin.records import DATABASE, opened_log
from gateway.admin.times import moment
from gateway.audit import keys
from gateway.errors import ConfigError
from gateway.kinds import Kind
from gateway.model import Effect, JsonObject
from gateway.parts import Archive
from gateway.policy import bundle as policies
from gateway.policy import probing, trial, wording
from gateway.policy.seen import SeenCall
from gateway.policy.suggestion import By, Suggestion, suggest
from gateway.screening import credentials
from gateway.storage.database import Reader, RunRow
from gateway.storage.wanted import Wanted

MOST = 50_000
"""Runs that are looked at, newest first."""
PAGE = 500


@dataclass(slots=True)
class Found:
    """What the log gave."""

    calls: list[SeenCall] = field(default_factory=list)
    looked: int = 0
    not_kept: int = 0
    oldest: int = 0
    newest: int = 0
    parts: dict[bytes, Any] = field(default_factory=dict)

    def shared(self, document: JsonObject) -> JsonObject:
        """The document, with the parts that many have in common held once."""
        return {name: self.parts.setdefault(orjson.dumps(part), part) for name, part in document.items()}


async def policy_suggest(
    archive: Archive,
    *,
    operator: str,
    since: str | None = None,
    upstream: str = "",
    principal: str = "",
    refused: bool = False,
    everything: bool = False,
    by: By = "principal",
) -> JsonObject:
    """The grants that would have allowed what was recorded, as files of Rego by name.

    By default of what only shadow let pass; `refused` adds what was refused for want of a rule or of approval,
    `everything` what was allowed too. `still` are the calls that would not pass all the same.
    """
    if by not in {"principal", "role"}:
        raise ConfigError(f"grants are made by principal or by role, not by {by}")
    wanted = Wanted(upstream=upstream, principal=principal, since=moment(since, "--since", now=time.time()))
    return await asyncio.to_thread(partial(_suggested, archive, wanted, refused, everything, by))


def _suggested(archive: Archive, wanted: Wanted, refused: bool, everything: bool, by: By) -> JsonObject:  # noqa: FBT001 - as asked
    reader = opened_log(archive.settings.state / DATABASE)
    try:
        opener = Opener(reader, keys.sealing_key(archive.settings.state))
        found = _recorded(opener, wanted, refused=refused)
    finally:
        reader.close()
    suggestion = suggest(found.calls, by=by, all_calls=everything, secret=_secret)
    days = sorted({_day(at) for at in (found.oldest, found.newest) if at})
    span = f", {' to '.join(days)}" if days else ""
    text = wording.policy(suggestion, span=span)
    return {
        "calls": len(found.calls),
        "looked": found.looked,
        "not_kept": found.not_kept,
        "grants": [{"grant": one.name, "calls": one.calls} for one in suggestion.grants],
        "left": [one.told() for one in suggestion.left],
        "still": _still(archive, suggestion, found.calls, text, everything=everything),
        "files": {wording.FILE: text, wording.TESTS: probing.tests(suggestion)} if suggestion.grants else {},
    }


def _recorded(opener: Opener, wanted: Wanted, *, refused: bool) -> Found:
    found = Found()
    for row in _rows(opener.reader, wanted):
        found.looked += 1
        index = row.settled if row.intent is None and refused else row.intent
        leaf = opener.reader.leaf(index) if index is not None else None
        if index is None or leaf is None:
            continue
        told = orjson.loads(leaf)
        if "decision" not in told:
            continue
        sealed = opener.opened(index, told)
        if sealed is None or "input" not in sealed:
            found.not_kept += 1
            continue
        document = orjson.loads(sealed["input"])
        if document["call"]["kind"] != Kind.TOOL:  # grants are of tools; a rule for the rest is a person's to write
            continue
        said = told["decision"]
        found.calls.append(SeenCall(found.shared(document), said["effect"], said["code"] or ""))
        found.newest, found.oldest = found.newest or row.opened, row.opened
    return found


def _rows(reader: Reader, wanted: Wanted) -> Iterator[RunRow]:
    before, left = "", MOST
    while left > 0 and (page := reader.runs_wanted(wanted, limit=min(PAGE, left), before=before)):
        yield from page
        before, left = page[-1].run, left - len(page)


def _still(
    archive: Archive, suggestion: Suggestion, calls: list[SeenCall], text: str, *, everything: bool
) -> list[JsonObject] | None:
    """What the policy that is configured would not allow with the suggestion in it; None where it was not tried."""
    try:
        live = {data.name: data.file.read_bytes() for data in archive.settings.policy.data}
        configured = policies.load(archive.settings.policy.bundle, live)
    except (ConfigError, OSError):  # `policy check` says what is wrong with it
        return None
    suggested = trial.with_file(configured, wording.FILE, text) if suggestion.grants else configured
    taken = calls if everything else [call for call in calls if call.effect != Effect.ALLOW]
    counts = trial.not_allowed(suggested, taken)
    return [
        {"principal": who, "upstream": upstream, "tool": tool, "calls": count}
        for (who, upstream, tool), count in sorted(counts.items())
    ]


def _secret(name: str, text: str) -> bool:
    return any(True for _ in credentials.find(text, credentials.named(name), credentials.EVERY))


def _day(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%d")
