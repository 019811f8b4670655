"""Operator actions on budgets: what is left of each, and when it frees. Nothing here changes any."""

import orjson

from gateway.model import JsonObject
from gateway.parts import Gateway


async def budgets_list(gw: Gateway, *, operator: str) -> JsonObject:
    """Every budget that is declared, with its counters; one that was never used has none."""
    counters: dict[str, list[JsonObject]] = {name: [] for name in gw.budgets.declared}
    now = gw.budgets.now()
    for row, one in gw.budgets.rows():
        left = max(0, one.limit - row.used - row.reserved)
        shown = {"scope": orjson.loads(row.scope), "used": row.used, "reserved": row.reserved, "left": left}
        counters[row.budget].append({**shown, "frees_in_s": row.ends - now if row.ends else None})
    budgets = [
        {
            "name": name,
            "of": one.of if one.currency is None else f"{one.of} {one.currency}",
            "limit": one.limit,
            "window_s": one.window,
            "counters": counters[name],
        }
        for name, one in gw.budgets.declared.items()
    ]
    return {"budgets": budgets}
