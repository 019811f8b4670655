"""Runs whose ending was not durable end unknown, once and by the same records."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import recovery
from gateway.errors import LogUnavailable
from gateway.model import Limits, Outcome, Proposal, Reply
from tests import nouns
from tests.path import DataPath, data_path


def told(reply: Reply) -> dict[str, Any]:
    assert reply.result is not None
    decision: dict[str, Any] = reply.result["_meta"]["bascule/decision"]
    return decision


async def test_an_intent_without_an_ending_is_settled_unknown_at_the_next_start(tmp_path: Path) -> None:
    async with data_path(tmp_path) as path:

        async def answer(proposal: Proposal, limits: Limits) -> Outcome:
            raise asyncio.CancelledError  # as a process that dies here would leave it

        path.executor.answer = answer
        with pytest.raises(asyncio.CancelledError):
            await path.write()
    async with data_path(tmp_path) as path:
        assert await recovery.recover(path.gw) == 1
        assert await recovery.recover(path.gw) == 0
        (record,) = path.leaves("call.settled")
        assert (record["ending"], record["code"]) == ("unknown", "OUTCOME_UNKNOWN")
        (run,) = path.gw.archive.reader.runs(limit=5, unfinished=True)
        assert (run.state, run.ending) == ("frozen", "unknown")


@pytest.mark.promise("every-ending-is-recorded")
async def test_an_ending_that_could_not_be_recorded_is_settled_unknown_once_the_log_is_back(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, settled = path.gw.log.append, asyncio.Event()

    async def back(*given: Any) -> Any:
        stored = await append(*given)
        settled.set()
        return stored

    async def fails(*_: object) -> None:
        path.gw.log.append = back  # type: ignore[method-assign, assignment]
        raise LogUnavailable("disk full")

    async def answer(proposal: Proposal, limits: Limits) -> Outcome:
        path.gw.log.append = fails  # type: ignore[assignment]
        return nouns.outcome("the result")

    path.executor.answer = answer
    assert told(await path.write())["code"] == "OUTCOME_UNKNOWN"
    await settled.wait()
    (record,) = path.leaves("call.settled")
    assert record["ending"] == "unknown"
    (run,) = path.gw.archive.reader.runs(limit=5, unfinished=True)
    assert run.state == "frozen"
