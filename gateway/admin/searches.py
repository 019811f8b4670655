"""The operator action that finds runs: who called what. It only reads, on a reader and a thread of its own."""

import asyncio
import time
from functools import partial

from gateway.admin.opening import Opener
from gateway.admin.records import DATABASE, opened_log
from gateway.admin.times import moment
from gateway.audit import keys
from gateway.audit.search import MOST_LOOKED, Answer, Hit, Search, search
from gateway.errors import ConfigError
from gateway.model import Code, Effect, Ending, JsonObject
from gateway.parts import Archive
from gateway.storage.wanted import Wanted

INDEXED = ("principal", "tenant", "upstream", "tool", "ending", "code", "task")
KNOWN = {
    "ending": tuple(map(str, Ending)),
    "code": tuple(map(str, Code)),
    "effect": (*map(str, Effect), "none"),
}
"""The closed lists. The effect `none`: refused before any policy was asked."""


async def audit_search(
    archive: Archive, *, operator: str, filters: dict[str, str] | None = None, limit: int = 50, before: str = ""
) -> JsonObject:
    """Runs, newest first, that agree with all of `filters`; `more` is the `before` of the next page.

    principal, tenant, upstream, tool, ending, code, task, since and until are answered from the index;
    effect, session and text open the records, which is bounded.
    """
    asked = _asked({name: value for name, value in (filters or {}).items() if value})
    # The reader of the archive belongs to the loop, and nobody's call is to wait for a search.
    reader = opened_log(archive.settings.state / DATABASE)
    opener = Opener(reader, keys.sealing_key(archive.settings.state))
    looked_into = partial(search, reader, asked, opener.opened, limit=limit, before=before)
    try:
        answer = await asyncio.to_thread(looked_into)
    finally:
        reader.close()
    return _told(answer)


def _asked(filters: dict[str, str]) -> Search:
    for name, known in KNOWN.items():
        if name in filters and filters[name] not in known:
            raise ConfigError(f"there is no {name} {filters[name]}: there are {', '.join(known)}")
    now = time.time()
    spans = {name: moment(filters.pop(name, None), f"--{name}", now=now) for name in ("since", "until")}
    inside = {name: filters.pop(name, "") for name in ("effect", "session", "text")}
    if wrong := filters.keys() - INDEXED:
        raise ConfigError(f"runs are not found by {', '.join(sorted(wrong))}; they are by {', '.join(INDEXED)}")
    return Search(Wanted(**filters, **spans), **inside)  # type: ignore[arg-type]


def _told(answer: Answer) -> JsonObject:
    return {
        "runs": [_hit(hit) for hit in answer.hits],
        "looked": answer.looked,
        "not_kept": answer.not_kept,
        "more": answer.more or None,
        "bounded": bool(answer.more) and answer.looked >= MOST_LOOKED,
    }


def _hit(hit: Hit) -> JsonObject:
    row = hit.run
    return {
        "run": row.run,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.opened / 1_000_000)),
        "principal": row.principal,
        "tenant": row.tenant,
        "upstream": row.upstream,
        "tool": row.tool,
        "effect": hit.effect,
        "state": row.state,
        "ending": row.ending,
        "code": row.code,
        "task": row.task,
        "record": row.settled if row.intent is None else row.intent,
    }
