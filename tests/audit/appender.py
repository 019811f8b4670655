"""A process that appends calls and says which are acknowledged, until it is killed or the disk is full.

Run as `python -m tests.audit.appender FOLDER CLIENTS [BYTES]`; BYTES is the largest file the kernel lets it write.
"""

import asyncio
import resource
import signal
import sys
from pathlib import Path

from gateway.audit import keys
from gateway.audit.log import Log
from gateway.errors import LogUnavailable
from gateway.storage.sqlite import SqliteDatabase
from tests.audit.samples import ORIGIN, boot, ending, intent, opening, run_id, settled


async def client(log: Log) -> None:
    while True:
        run = run_id()
        await log.append([intent(run)], [opening(run)])
        print("intent", run, flush=True)
        await log.append([settled(run)], [ending(run)])
        print("settled", run, flush=True)


async def main(folder: Path, clients: int) -> None:
    log = Log.open(SqliteDatabase(folder / "bascule.db"), keys.load(folder, ORIGIN))
    try:
        await log.append(*boot())
        await asyncio.gather(*(client(log) for _ in range(clients)))
    except LogUnavailable as error:
        print("unavailable", error.detail, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
