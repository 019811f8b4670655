"""What changed among the pins: recorded, then written to `bascule.lock`."""

import asyncio

from gateway.audit import records
from gateway.model import Record
from gateway.parts import Gateway
from gateway.registry import PinChange, lockfile


async def keep(changes: tuple[PinChange, ...], gw: Gateway, *, operator: str = "") -> None:
    """Record what changed and write `bascule.lock`. What could not be recorded is recorded with the next change.

    Raises:
        LogUnavailable: it is not recorded yet.
        OSError: it is recorded and not written; until it is, each list of this gateway fails.
    """
    gw.unrecorded.extend(_record(change, operator) for change in changes)
    async with gw.keeping:  # one at a time, so that the newest lock is written last
        if taken := tuple(gw.unrecorded):
            await gw.log.append(taken)
            del gw.unrecorded[: len(taken)]
            gw.unwritten = True
        if gw.unwritten:
            await asyncio.to_thread(lockfile.write, gw.settings.file.with_name("bascule.lock"), gw.registry.lock())
            gw.unwritten = False  # only we can have set it: it is set under this lock alone


def _record(change: PinChange, operator: str) -> Record:
    return records.event(
        f"pin.{change.change}",
        {"upstream": change.upstream, "tool": change.name, "pin": change.new or "", "was": change.old or ""},
        sealed={"operator": operator} if operator else None,
    )
