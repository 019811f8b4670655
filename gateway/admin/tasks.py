"""Operator actions on tasks: listed and shown, as their runs tell. They only read."""

from collections import Counter
from functools import partial
from typing import Final

from gateway.admin import recorded
from gateway.admin.records import MOST, beside, run_told
from gateway.model import JsonObject
from gateway.parts import Archive
from gateway.storage.database import Reader
from gateway.storage.tables import histories

AMONG: Final = 50_000
"""The newest runs, of which tasks are listed."""


async def tasks_list(archive: Archive, *, operator: str, limit: int = 50) -> JsonObject:
    """Tasks, that with the newest run first."""
    return await beside(archive, partial(_listed, min(limit, MOST)))


def _listed(limit: int, reader: Reader) -> JsonObject:
    rows = histories.tasks(reader, among=AMONG, limit=limit)
    newest = {run.run: run for run in reader.runs_named([row.newest for row in rows])}
    tasks = [
        {
            "task": row.task,
            "principal": newest[row.newest].principal,
            "runs": row.runs,
            "unfinished": row.unfinished,
            "first": row.first,
            "last": row.last,
        }
        for row in rows
    ]
    return {"tasks": tasks}


async def tasks_show(archive: Archive, *, operator: str, task: str) -> JsonObject:
    """The runs of a task in order, with how each ended."""
    rows = await beside(archive, partial(recorded.runs_of, task))
    endings = Counter(row.ending or row.state for row in rows)
    return {"task": task, "endings": dict(endings), "runs": [run_told(row) for row in rows]}
