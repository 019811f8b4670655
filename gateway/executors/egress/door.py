"""A sandbox's one way out: a proxy that listens inside the sandbox's network and runs here.

Every attempt is judged by the allow-list and kept in `contacts`. Not what starts the sandbox, and not a filter of what
is said: a permitted host is told whatever the program tells it. Only TCP; names are looked up here, once permitted.
"""

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from gateway.errors import Failed
from gateway.executors import process
from gateway.executors.egress import doorway
from gateway.executors.egress.asking import END, Asked, BadRequest, Request
from gateway.executors.egress.contacts import Contact, Contacts, Verdict
from gateway.executors.egress.destinations import Destination, entry, is_address, is_public, permits
from gateway.executors.egress.passage import Passage, Stream, connect, open_stream
from gateway.model import Code

_PROXY = f"http://{doorway.ADDRESS[0]}:{doorway.ADDRESS[1]}"
ENVIRONMENT: Mapping[str, str] = {
    **{name: _PROXY for word in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for name in (word, word.lower())},
    "NO_PROXY": "",
    "no_proxy": "",
    "NODE_USE_ENV_PROXY": "1",
}
"""What tells a program where its way out is. The fetch of Node before 22.21 reads none of it."""

DOORWAY_SECONDS = 10.0
UNLISTED = "not on the allow-list"
PRIVATE = "resolves to a private address"
ADDRESSES = 4
"""How many addresses of one name are tried."""
Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of the gateway one sandbox may hold. Connections over `connections` wait, unaccepted."""

    connections: int = 256
    per_second: int = 200
    head_s: float = 10.0
    resolve_s: float = 10.0
    connect_s: float = 10.0
    idle_s: float = 300.0
    lookups: int = 2


class _Shut(Exception):
    """An attempt that was not let through: what the program is told, and what the operator reads."""

    def __init__(self, status: str, told: str, verdict: Verdict, reason: str, address: str = "") -> None:
        super().__init__(reason)
        self.status, self.told, self.verdict, self.reason, self.address = status, told, verdict, reason, address


async def look_up(host: str, port: int) -> list[str]:
    """Every address of a name, as the host itself resolves it, its hosts file included."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Door:
    """One sandbox's way out. An empty `allow` refuses everything, and records it."""

    def __init__(
        self, allow: Iterable[Destination], *, resolve: Resolve = look_up, bounds: Bounds | None = None
    ) -> None:
        self._allow = tuple(allow)
        self._resolve = resolve
        self._bounds = bounds or Bounds()
        self._room = asyncio.Semaphore(self._bounds.connections)
        self._lookups = asyncio.Semaphore(self._bounds.lookups)
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Future[None] | None = None
        self._serving: set[asyncio.Future[None]] = set()
        self.contacts = Contacts()
        self.env = ENVIRONMENT

    async def open(self, pid: int) -> None:
        """Listen inside the network of `pid`, which must exist and not yet run what it is there for.

        Raises:
            Failed: the listener could not be made: nothing may be started that counts on it.
        """
        self.attach(await listener_inside(pid))

    def attach(self, listener: socket.socket) -> None:
        """Serve what connects to a listener, until closed."""
        assert self._listener is None, "a door is opened once"
        listener.settimeout(0)
        self._listener = listener
        self._accepting = asyncio.ensure_future(self._accept(listener))

    def taken(self) -> list[Contact]:
        """What was tried since this was last asked: for the record of the call that just ended. Where calls of one
        server overlap, whichever ends first has them."""
        return self.contacts.taken()

    async def close(self) -> None:
        """End every connection; nothing is accepted any more."""
        ending = [*self._serving, *([self._accepting] if self._accepting else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._accepting = None
        if self._listener is not None:
            self._listener.close()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() - 1
        while True:
            await self._room.acquire()
            # A program that only opens and closes connections is slowed down, for they are accepted on the loop that
            # serves everyone.
            due = max(due, loop.time() - 1) + 1 / self._bounds.per_second
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError:  # no descriptor left, or the connection was gone already
                self._room.release()
                await asyncio.sleep(0.1)
                continue
            serving = asyncio.ensure_future(self._serve(accepted))
            self._serving.add(serving)
            serving.add_done_callback(self._served)

    def _served(self, serving: asyncio.Future[None]) -> None:
        self._serving.discard(serving)
        self._room.release()

    async def _serve(self, accepted: socket.socket) -> None:
        """One connection from its first byte to its last."""
        inside = await open_stream(accepted)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):  # the program has gone
                await self._answer(inside)
                await inside.end()
        finally:
            inside.abort()

    async def _answer(self, inside: Stream) -> None:
        request = Request()
        try:
            async with asyncio.timeout(self._bounds.head_s):
                asked = request.read_head(await inside.reader.readuntil(END))
        except (BadRequest, TimeoutError, asyncio.LimitOverrunError) as error:
            told = str(error) if isinstance(error, BadRequest) else "a request's head is short and comes at once"
            self.contacts.note("", 0, Verdict.REFUSED, told)
            await inside.say("400 Bad Request", told)
            return
        try:
            address, outside = await self._dialled(asked)
        except _Shut as shut:
            self.contacts.note(asked.host, asked.port, shut.verdict, shut.reason, shut.address)
            await inside.say(shut.status, shut.told)
            return
        await self._pass(asked, request, address, inside, outside)

    async def _pass(self, asked: Asked, request: Request, address: str, inside: Stream, outside: Stream) -> None:
        tally = self.contacts.opened(asked.host, asked.port, address)
        passage = Passage(inside, outside, tally, self._bounds.idle_s)
        try:
            if asked.head:
                refusal = await passage.forward(asked, request)
            else:
                refusal = await passage.tunnel(asked, self._bounds.head_s)
            if refusal:
                self.contacts.note(asked.host, asked.port, Verdict.REFUSED, refusal, address)
            else:
                await outside.end()
        finally:
            outside.abort()
            self.contacts.closed(tally)

    async def _dialled(self, asked: Asked) -> tuple[str, Stream]:
        """A connection to a permitted destination, and the address it goes to: the very address that was judged."""
        host, port = asked.host, asked.port
        if not permits(self._allow, host, port):
            told = f'{host}:{port} is not on the allow-list of this server; "{entry(host, port)}" would open it'
            raise _Shut("403 Forbidden", told, Verdict.REFUSED, UNLISTED)
        addresses = [host] if is_address(host) else await self._resolved(host, port)
        open_to = [address for address in addresses if is_public(address) or permits(self._allow, address, port)]
        if not open_to:
            told = (
                f"{host} has no public address; a private one opens only where the allow-list names the address itself"
            )
            raise _Shut("403 Forbidden", told, Verdict.REFUSED, PRIVATE, addresses[0])
        for address in open_to[:ADDRESSES]:
            with contextlib.suppress(OSError):  # TimeoutError is one
                return address, await connect(address, port, self._bounds.connect_s)
        raise _Shut(
            "502 Bad Gateway", f"{host}:{port} could not be reached", Verdict.FAILED, "no connection", open_to[0]
        )

    async def _resolved(self, host: str, port: int) -> list[str]:
        try:
            # The threads that look names up are shared by everyone.
            async with asyncio.timeout(self._bounds.resolve_s), self._lookups:
                addresses = await self._resolve(host, port)
        except OSError:  # socket.gaierror and TimeoutError are such
            addresses = []
        if not addresses:
            raise _Shut("502 Bad Gateway", f"{host} could not be resolved", Verdict.FAILED, "cannot be resolved")
        return addresses


async def listener_inside(pid: int) -> socket.socket:
    """A socket that listens at `doorway.ADDRESS` in the network of a process.

    Raises:
        Failed: it could not be made.
    """
    with tempfile.TemporaryDirectory(prefix="bascule-") as folder, socket.socket(socket.AF_UNIX) as receiver:
        path = os.path.join(folder, "door")  # in a folder of mode 0700: nobody else hands us a socket
        receiver.bind(path)
        receiver.listen(1)
        receiver.settimeout(0)
        argv = [sys.executable, "-I", "-S", doorway.__file__, str(pid), path]
        code, said = await process.run(argv, DOORWAY_SECONDS)
        if code:
            last = said.strip().rpartition("\n")[2]
            raise Failed(Code.SANDBOX_UNAVAILABLE, "the sandbox's way out could not be made", detail=last)
        connection, _ = receiver.accept()
        with connection:
            _, descriptors, _, _ = socket.recv_fds(connection, 1, 1, socket.MSG_CMSG_CLOEXEC)
        return socket.socket(fileno=descriptors[0])
