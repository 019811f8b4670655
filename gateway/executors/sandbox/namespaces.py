"""A sandbox's namespaces, as the host sees them while it is being made."""

import asyncio
import fcntl
import os

NS_GET_USERNS = 0xB701
"""ioctl of a namespace's descriptor: one of the user namespace that owns it."""
_POLL_SECONDS = 0.001
_MOST_SECONDS = 5.0


async def made(pid: int) -> None:
    """Wait until bubblewrap has made all of a held sandbox: its network is up, and nothing of it is set up any more.

    bubblewrap tells of its first process before it does any of that. The last it makes is a user namespace within the
    one that owns the network (--disable-userns); until then the process is in the owner itself.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _MOST_SECONDS
    # Nothing can be waited on: the kernel announces no change of a process's namespace.
    while not _nested(pid) and loop.time() < deadline:  # noqa: ASYNC110 - see above
        await asyncio.sleep(_POLL_SECONDS)


def _nested(pid: int) -> bool:
    """Whether the process is no longer in the user namespace that owns its network, or is gone."""
    try:
        network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    except OSError:
        return True
    try:
        owner = fcntl.ioctl(network, NS_GET_USERNS)
        try:
            return os.fstat(owner).st_ino != os.stat(f"/proc/{pid}/ns/user").st_ino
        finally:
            os.close(owner)
    except OSError:
        return True
    finally:
        os.close(network)
