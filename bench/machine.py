"""What a figure was measured on: machine, versions, and how long its disk takes to make a write durable."""

import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.processes import ALLOWED

VERSIONS = ("bascule", "uvicorn", "uvloop", "httptools", "aiohttp", "pyreqwest", "orjson", "gordon-to-regorus")


def machine(folder: Path) -> dict[str, Any]:
    """Everything a reader needs to compare two runs; `folder` is on the disk that holds the state."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    sync = sync_ms(folder)
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": len(ALLOWED),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fsync_ms": sync["p50"],
        "fsync_p99_ms": sync["p99"],
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {name: metadata.version(name) for name in VERSIONS},
    }


def sync_ms(folder: Path, writes: int = 200) -> dict[str, float]:
    """What appending 4 KB and `fdatasync` takes, which is what one commit of the log waits for."""
    block = os.urandom(4096)
    taken = []
    path = folder / "sync-probe"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for _ in range(writes):
            begun = time.perf_counter_ns()
            os.write(handle, block)
            os.fdatasync(handle)
            taken.append((time.perf_counter_ns() - begun) / 1e6)
    finally:
        os.close(handle)
        path.unlink()
    return {"p50": round(statistics.median(taken), 3), "p99": round(sorted(taken)[int(writes * 0.99) - 1], 3)}
