"""What a run of the bench prints and keeps."""

from typing import Any

from bench.paths import FLOOR

Rows = list[dict[str, Any]]

TARGETS = (
    # path, figure, relation and bound, as a multiple of the floor's figure
    ("bascule-full", "cpu_ms_per_call", "<=", 2.6),
    ("bascule-full", "calls_per_s", ">=", 0.33),
    ("bascule-bare", "cpu_ms_per_call", "<=", 1.1),
)
PEER = ("bascule-full", "fastmcp-proxy", 60.0)


def find(rows: Rows, path: str, clients: int) -> dict[str, Any] | None:
    """One row of the table."""
    return next((row for row in rows if row["path"] == path and row["clients"] == clients), None)


def table(rows: Rows) -> str:
    """All rows, with their ratios to the floor at the same number of clients."""
    head = f"{'path':<26}{'C':>4}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms/call':>13}{'RSS MB':>8}"
    lines = [head + f"{'calls/s':>11}{'CPU':>8}  of the floor"]
    before = rows[0]["clients"] if rows else 0
    for row in rows:
        if row["clients"] != before:
            lines.append("")
            before = row["clients"]
        floor = find(rows, FLOOR, row["clients"])
        lines.append(_line(row) + (_ratios(row, floor) if floor else ""))
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    name = f"{row['path']:<26}{row['clients']:>4}{row['calls_per_s']:>10,.0f}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}"
    return f"{name}{row['cpu_ms_per_call']:>13.3f}{row['rss_mb']:>8.0f}"


def _ratios(row: dict[str, Any], floor: dict[str, Any]) -> str:
    cpu = row["cpu_ms_per_call"] / floor["cpu_ms_per_call"] if row["path"] != "direct" else 0
    return f"{row['calls_per_s'] / floor['calls_per_s']:>10.3f}x" + (f"{cpu:>7.2f}x" if cpu else f"{'':>8}")


def verdicts(rows: Rows, sync: float) -> list[str]:
    """The targets beside what was seen. They inform: a bench is never a test."""
    said = []
    for clients in sorted({row["clients"] for row in rows}):
        floor, direct = find(rows, FLOOR, clients), find(rows, "direct", clients)
        for path, figure, relation, bound in TARGETS:
            if floor and (row := find(rows, path, clients)):
                ratio = row[figure] / floor[figure]
                said.append(_verdict(f"{path} {figure} at C={clients}: {ratio:.2f}x the floor", ratio, relation, bound))
        full, peer = find(rows, PEER[0], clients), find(rows, PEER[1], clients)
        if full and peer:
            ratio = full["calls_per_s"] / peer["calls_per_s"]
            said.append(_verdict(f"{PEER[0]} calls_per_s at C={clients}: {ratio:.1f}x {PEER[1]}", ratio, ">=", PEER[2]))
        if full and direct and clients == 1:
            added = full["p50_ms"] - direct["p50_ms"]
            what = f"bascule-full added p50 at C=1: {added:.2f} ms (fsync here {sync:.2f} ms)"
            said.append(_verdict(what, added, "<=", 1.0))
    return said


def _verdict(what: str, value: float, relation: str, bound: float) -> str:
    held = value <= bound if relation == "<=" else value >= bound
    return f"{'meets' if held else 'misses':<7}{what} (target {relation} {bound})"
