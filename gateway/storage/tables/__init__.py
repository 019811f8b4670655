"""Each kind of write: its statement, the row it binds, and whether it must change exactly one row.

In a batch the kinds are applied in this order.
"""

from typing import Any

from gateway.storage.tables import approvals, brakes, budgets, bundles, keys, runs, sessions
from gateway.storage.tables.statement import Statement

WRITES: dict[type[Any], Statement] = {
    **keys.WRITES,
    **approvals.WRITES,
    **runs.WRITES,
    **sessions.WRITES,
    **bundles.WRITES,
    **brakes.WRITES,
    **budgets.WRITES,
}
