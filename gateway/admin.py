"""Every operator action as one plain function. The command line and the control socket only call these.

`operator` is who asked, `os:<user>`; what changes something is recorded under that name.
"""

import asyncio
import base64
import time
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from gateway import listing, selftest
from gateway.audit import keys, note, proof, records, seal
from gateway.audit.verify import verify
from gateway.errors import ConfigError, Failed, Refused
from gateway.model import BundleStored, Endpoint, JsonObject, Point, RunId
from gateway.parts import Archive, Gateway
from gateway.policy import Pdp, canaries
from gateway.policy.evaluation import evaluate_again
from gateway.storage.database import Reader, RunRow
from gateway.storage.sqlite import SqliteReader
from gateway.validators import schema

MOST = 1000
DATABASE = "bascule.db"


async def upstream_list(gw: Gateway, *, operator: str) -> JsonObject:
    """Each upstream: where it is, how it is governed, how many of its tools are in which state."""
    await asyncio.gather(*(_listed(name, gw) for name in gw.executors))
    return {"upstreams": [_upstream(name, gw) for name in gw.settings.upstreams]}


async def upstream_show(gw: Gateway, *, operator: str, name: str) -> JsonObject:
    """One upstream's tools: what was accepted, what it offers now, and the difference."""
    problem = await _listed(_known(name, gw), gw)
    tools = [
        {
            "name": shown.name,
            "state": shown.state,
            "listed": shown.listed,
            "mode": shown.mode,
            "pin": shown.accepted.digest if shown.accepted else None,
            "offered": shown.offered.digest if shown.offered else None,
            "difference": shown.difference,
        }
        for shown in gw.registry.show(name)
    ]
    problems = [{"tool": one.name, "problem": one.text} for one in gw.registry.problems(name)]
    for pin in gw.registry.pins(Endpoint(name, (name,), qualified=False)):
        problems += [{"tool": pin.name, "problem": text} for text in schema.problems(pin)]
    return {**_upstream(name, gw), "tools": tools, "problems": problems, "unreachable": problem}


async def upstream_accept(
    gw: Gateway, *, operator: str, name: str, tool: str | None = None, digest: str | None = None
) -> JsonObject:
    """Put into force what one tool, or every waiting or drifted tool, of an upstream offers."""
    await listing.refresh(_known(name, gw), gw)
    changes = gw.registry.accept(name, tool, digest=digest)  # type: ignore[arg-type]
    await listing.keep(changes, gw, operator=operator)
    return {"accepted": [{"tool": change.name, "pin": change.new} for change in changes]}


async def upstream_quarantine(gw: Gateway, *, operator: str, name: str, tool: str | None = None) -> JsonObject:
    """Take a tool, or all of an upstream's, out of force."""
    changes = gw.registry.quarantine(_known(name, gw), tool)
    await listing.keep(changes, gw, operator=operator)
    return {"quarantined": [change.name for change in changes]}


async def policy_test(
    gw: Gateway, *, operator: str, directory: str | None = None, coverage: bool = False
) -> JsonObject:
    """Run the `test_*` rules of a folder of policies."""
    from gateway.policy import folder, testing  # noqa: PLC0415 - only for this command

    return testing.run_tests(folder.load(Path(directory or gw.settings.policy.bundle)), coverage=coverage).told()


async def policy_check(gw: Gateway, *, operator: str, directory: str | None = None) -> JsonObject:
    """What is wrong with a folder of policies, and what is likely to be."""
    from gateway.executors import process  # noqa: PLC0415 - only for this command
    from gateway.policy import checking  # noqa: PLC0415 - only for this command

    findings = await checking.check(Path(directory or gw.settings.policy.bundle), process.run)
    return {"findings": [finding.told() for finding in findings]}


async def policy_build(
    gw: Gateway, *, operator: str, directory: str | None = None, data: dict[str, str] | None = None
) -> JsonObject:
    """A folder of policies as the tarball an OPA server loads, and the revision its answers then have to name.

    Without a folder, what is configured; `data` are the files of live data by their names.
    """
    from gateway.policy import opabundle  # noqa: PLC0415 - only for this command

    if directory is None:
        policy = gw.settings.policy
        directory, data = str(policy.bundle), {one.name: str(one.file) for one in policy.data}
    built = opabundle.build(Path(directory), {name: Path(file) for name, file in (data or {}).items()})
    return {"revision": built.revision, "tarball": base64.b64encode(built.content).decode()}


async def policy_reload(gw: Gateway, *, operator: str) -> JsonObject:
    """Load the policies again; on any error the old ones stay in force."""
    return await put_in_force(await sound(gw.load_policy()), gw, operator)


async def sound(pdp: Pdp) -> Pdp:
    """The engine, once it has answered the canaries.

    Raises:
        ConfigError: it must not decide anything.
    """
    await canaries.prove(pdp)
    return pdp


async def put_in_force(pdp: Pdp, gw: Gateway, operator: str) -> JsonObject:
    """Record the swap with the bundle's bytes, then let the new policy decide."""
    before, bundle = gw.pdp, pdp.bundle
    swap = {"bundle": bundle.digest, "was": before.bundle.digest, "engine": pdp.engine}
    record = records.event("policy.swapped", swap, sealed={"operator": operator})
    await gw.log.append([record], [BundleStored(bundle.digest, bundle.content)])
    # Point of no return: the bytes are stored under their digest, so decisions may name it.
    gw.pdp = pdp
    await before.close()
    return swap


async def policy_eval(
    gw: Gateway,
    *,
    operator: str,
    record: str | None = None,
    input: JsonObject | None = None,  # noqa: A002 - its name
) -> JsonObject:
    """Decide again: a recorded decision with the policy as it was then, or an input with the policy of now."""
    if input is not None:
        if input.get("point") not in set(Point):
            raise ConfigError(f"the input's point is none of {', '.join(Point)}")
        point = Point(input["point"])
        return {"point": point, "now": await gw.pdp.evaluate(point, input)}
    found = _leaf(record or "", gw.archive.reader)
    sealed = _opened(found["index"], found["leaf"], gw.archive)
    said = found["leaf"].get("decision")
    if said is None or sealed is None or "input" not in sealed:
        raise ConfigError("payload not kept" if said else "this record holds no decision")
    content = gw.archive.reader.bundle(said["bundle"])
    if content is None:
        raise ConfigError(f"the bundle {said['bundle']} is not kept")
    again = await evaluate_again(content, sealed["input"])
    return {"index": found["index"], "recorded": said, "again": again, "same": again["effect"] == said["effect"]}


async def audit_tail(archive: Archive, *, operator: str, count: int = 20) -> JsonObject:
    """The newest records, oldest first."""
    end = archive.reader.count()
    first = max(0, end - min(count, MOST))
    return {"records": [_told(index, record) for index, _, record in archive.reader.leaves(first, end)], "size": end}


async def audit_show(archive: Archive, *, operator: str, record: str) -> JsonObject:
    """One record (by index, record id or run id) with what is sealed, where it is still kept."""
    row = archive.reader.run(RunId(record))
    indices = [index for index in (row.intent, row.settled) if index is not None] if row else []
    found = [_told(index, archive.reader.leaf(index) or b"{}") for index in indices] or [_leaf(record, archive.reader)]
    for one in found:
        sealed = _opened(one["index"], one["leaf"], archive)
        one["sealed"] = {name: orjson.loads(value) for name, value in sealed.items()} if sealed else None
    return {"records": found, "run": _run(row) if row else None}


async def audit_verify(
    archive: Archive, *, operator: str, head: str | None = None, database: str | None = None
) -> JsonObject:
    """Recompute everything: leaves, tree, tiles, heads, rows and payloads; name what does not agree.

    `database` is a copy of the log to check instead of the log itself.
    """
    reader = opened_log(Path(database or archive.settings.state / DATABASE))
    checked = partial(
        verify,
        reader,
        archive.vkey,
        outside_head=head,
        sealing=keys.sealing_key(archive.settings.state),
        bundle_digest=lambda content: f"sha256:{sha256(content).hexdigest()}",
        now=int(time.time()),
    )
    try:
        report = await asyncio.to_thread(checked)
    except note.BadNote as error:
        raise ConfigError(f"the public key or the head given is none: {error}") from None
    finally:
        reader.close()
    return {**report.told(), "public_key": archive.vkey}


async def audit_prove(archive: Archive, *, operator: str, index: int) -> JsonObject:
    """A proof of one record that needs only the public key (c2sp.org/tlog-proof@v1)."""
    leaf = archive.reader.leaf(index)
    if leaf is None:
        raise ConfigError(f"there is no record {index}")
    return {
        "index": index,
        "leaf": leaf.decode(),
        "proof": proof.prove(archive.reader, index),
        "public_key": archive.vkey,
    }


async def runs_list(archive: Archive, *, operator: str, limit: int = 50, unfinished: bool = False) -> JsonObject:
    """Runs, newest first; `unfinished` are those whose effect nobody can vouch for."""
    return {"runs": [_run(row) for row in archive.reader.runs(limit=min(limit, MOST), unfinished=unfinished)]}


async def doctor(gw: Gateway, *, operator: str) -> JsonObject:
    """What holds here and what does not, each line with its evidence and its fix."""
    lines = await selftest.run(gw)
    for name in gw.executors:
        problem = await _listed(name, gw)
        pins = len(gw.registry.show(name))
        state = selftest.Line(f"upstream {name}", "warn" if problem else "ok", problem or f"lists {pins} tools")
        lines.append(state)
    return {"lines": [line.told() for line in lines], "sound": all(line.state != "fail" for line in lines)}


async def _listed(name: str, gw: Gateway) -> str | None:
    """See that the upstream was listed; why not, in words for the operator."""
    try:
        await listing.refresh(name, gw)
    except (Refused, Failed) as failure:
        return f"{failure.code}: {failure.reason}" + (f" ({failure.detail})" if failure.detail else "")
    return None


def opened_log(file: Path) -> SqliteReader:
    """A reader of a log's file.

    Raises:
        ConfigError: there is none.
    """
    if not file.is_file():
        raise ConfigError(f"there is no log at {file}; `bascule serve` begins one")
    return SqliteReader(file)


def _known(name: str, gw: Gateway) -> str:
    if name not in gw.settings.upstreams:
        raise ConfigError(f"there is no upstream {name}: there are {', '.join(gw.settings.upstreams) or 'none'}")
    return name


def _upstream(name: str, gw: Gateway) -> JsonObject:
    settings = gw.settings.upstreams[name]
    states = [shown.state.value for shown in gw.registry.show(name)]
    seen = gw.listed.get(name)
    return {
        "name": name,
        "url": settings.url.partition("?")[0],
        "mode": settings.mode,
        "until": str(settings.until) if settings.until else None,
        "trust": settings.trust,
        "tools": {state: states.count(state) for state in sorted(set(states))},
        "listed_s_ago": None if seen is None else round(time.monotonic() - seen, 1),
    }


def _leaf(wanted: str, reader: Reader) -> JsonObject:
    """A record by its index or its id; ids are looked for from the newest back."""
    if wanted.isascii() and wanted.isdigit():
        leaf = reader.leaf(int(wanted))
        if leaf is not None:
            return _told(int(wanted), leaf)
    quoted = wanted.encode()
    for index in range(reader.count() - 1, -1, -1) if len(wanted) == 36 else ():
        leaf = reader.leaf(index)
        if leaf is not None and quoted in leaf:
            return _told(index, leaf)
    raise ConfigError(f"there is no record {wanted}: give an index, a record id, a decision id or a run id")


def _told(index: int, leaf: bytes) -> dict[str, Any]:
    return {"index": index, "leaf": orjson.loads(leaf)}


def _opened(index: int, leaf: JsonObject, archive: Archive) -> dict[str, bytes] | None:
    """The sealed values of a record; None where they were never kept or are erased."""
    payload, sealing = archive.reader.payload(index), keys.sealing_key(archive.settings.state)
    if payload is None or sealing is None:
        return None
    try:
        opened = seal.unseal(sealing, leaf["id"], payload.salt, payload.sealed)
    except seal.Unsealable as error:
        raise ConfigError(f"the payload of record {index} does not open: {error}; see `bascule audit verify`") from None
    return {name: value for name, (_, value) in opened.items()}


def _run(row: RunRow) -> JsonObject:
    return {
        "run": row.run,
        "state": row.state,
        "ending": row.ending,
        "code": row.code,
        "upstream": row.upstream,
        "tool": row.tool,
        "principal": row.principal,
        "tenant": row.tenant,
        "task": row.task,
        "intent": row.intent,
        "settled": row.settled,
        "opened": row.opened,
        "ended": row.ended,
    }


ACTIONS = (
    upstream_list,
    upstream_show,
    upstream_accept,
    upstream_quarantine,
    policy_test,
    policy_check,
    policy_build,
    policy_reload,
    policy_eval,
    doctor,
)
"""The actions on the parts of a gateway."""
ON_ARCHIVE = (audit_tail, audit_show, audit_verify, audit_prove, runs_list)
"""The actions that only read the log: they work beside a running owner, and on a log that no gateway would open."""
