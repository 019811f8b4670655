"""What is stored of one run from its first record to its last, and of tasks. Only reads."""

from typing import Final, NamedTuple

from gateway.storage.database import Reader, RunRow

_OF_RUN: Final = "SELECT idx, record FROM leaves WHERE idx >= ? AND idx < ? AND instr(record, ?) > 0 ORDER BY idx"
_TASKS: Final = """SELECT task, count(*), sum(state != 'ended'), min(opened), max(opened), max(run)
  FROM (SELECT task, state, opened, run FROM runs WHERE task != '' ORDER BY run DESC LIMIT ?)
  GROUP BY task ORDER BY max(run) DESC LIMIT ?"""


class TaskRow(NamedTuple):
    """A task as its runs show it. Times are Unix microseconds."""

    task: str
    runs: int
    unfinished: int
    first: int
    last: int
    newest: str
    """Its newest run."""


def of_run(reader: Reader, row: RunRow, *, after: int = 0) -> list[tuple[int, bytes]]:
    """Index and record of the leaves that name a run, in order; of one that has not ended, to the end of the log.

    `after` is how many leaves are looked through behind the end.
    """
    known = [index for index in (row.asked, row.intent, row.settled) if index is not None]
    if not known:
        return []
    end = max(known) + 1 + after if row.state == "ended" else reader.count()
    return list(reader.select(_OF_RUN, min(known), end, row.run.encode()))


def tasks(reader: Reader, *, among: int, limit: int) -> list[TaskRow]:
    """Tasks of the newest `among` runs, that with the newest run first."""
    return [TaskRow._make(row) for row in reader.select(_TASKS, among, limit)]
